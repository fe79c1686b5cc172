"""Keep-alives that are sent in the background while a program runs."""
