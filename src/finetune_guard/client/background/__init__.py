"""Keep-alives sent in the background while a program runs."""
