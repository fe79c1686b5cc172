#!/usr/bin/env bash
# Runs `finetune-guard check` and `alert` with what action.yml passes on, and writes the summary of the job.
set -uo pipefail

fail() {
    echo "::error::$1"
    echo "exit-code=2" >>"$GITHUB_OUTPUT"
    exit 2
}

# An input that is empty leaves the job's own variable alone.
[ -z "$INPUT_OPENAI_API_KEY" ] || export OPENAI_API_KEY="$INPUT_OPENAI_API_KEY"
[ -z "$INPUT_OPENAI_ADMIN_KEY" ] || export OPENAI_ADMIN_KEY="$INPUT_OPENAI_ADMIN_KEY"
[ -z "$INPUT_STORE" ] || export FINETUNE_GUARD_STORE="$INPUT_STORE"
[ -z "$INPUT_WEBHOOK" ] || export FINETUNE_GUARD_WEBHOOK="$INPUT_WEBHOOK"

if [ -n "${FINETUNE_GUARD_WEBHOOK:-}" ] && [ -z "${FINETUNE_GUARD_STORE:-}" ]; then
    fail "Alerts need a store that remembers what was told: set the input store."
fi

if [ -n "$INPUT_INSTALL" ]; then
    named='^[[:space:]]*finetune[-_.]guard(\[[^]]*\])?[[:space:]]*([=<>~!][^@]*)?$'
    shopt -s nocasematch
    if [[ $INPUT_INSTALL =~ $named ]]; then
        fail "install is a name alone: finetune-guard is not published on pypi.org. Name the URL of a wheel or a repository."
    fi
    shopt -u nocasematch
    # What has " @ " is one requirement; all else are pip's arguments, parted by spaces.
    if [[ $INPUT_INSTALL == *" @ "* ]]; then packages=("$INPUT_INSTALL"); else read -ra packages <<<"$INPUT_INSTALL"; fi
    venv="$RUNNER_TEMP/finetune-guard"
    { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "${packages[@]}"; } || fail "finetune-guard could not be installed."
    PATH="$venv/bin:$PATH"
fi
command -v finetune-guard >/dev/null || fail "finetune-guard is not installed: set the input install."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Shows a command's output in the log, and in the summary as text: whatever it holds is no Markdown there.
summarized() {
    "$@" >"$log" 2>&1
    local code=$?
    cat "$log"
    { echo && sed 's/^/    /' "$log" && echo; } >>"$GITHUB_STEP_SUMMARY"
    return "$code"
}

arguments=()
[ "$INPUT_REFRESH" != "true" ] || arguments+=(--refresh)
[ -z "$INPUT_MIN_REMAINING" ] || arguments+=(--min-remaining "$INPUT_MIN_REMAINING")

echo "## Fine-tuning" >>"$GITHUB_STEP_SUMMARY"
summarized finetune-guard check ${arguments[@]+"${arguments[@]}"}
code=$?
case $code in
    0 | 8) verdict=eligible ;;
    3) verdict=ineligible ;;
    4) verdict=unknown ;;
    *) verdict= ;;
esac
echo "verdict=$verdict" >>"$GITHUB_OUTPUT"
echo "exit-code=$code" >>"$GITHUB_OUTPUT"
[ -z "$verdict" ] || finetune-guard report --markdown >>"$GITHUB_STEP_SUMMARY"

told=0
if [ -n "${FINETUNE_GUARD_WEBHOOK:-}" ]; then
    arguments=()
    [ "$INPUT_SLACK" != "true" ] || arguments+=(--slack)
    echo "## Alerts" >>"$GITHUB_STEP_SUMMARY"
    summarized finetune-guard alert ${arguments[@]+"${arguments[@]}"}
    told=$?
fi

[ "$code" != 0 ] || code=$told
exit "$code"
