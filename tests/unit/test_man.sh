#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The manual and the completion say what the program says: every verb, option and key, and no other.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
N2X=$BUILD/nfq2xdp
[ -x "$N2X" ] || { echo "needs $N2X: make"; exit 77; }
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
# shellcheck source=tests/check.sh
. tests/check.sh

# section NAME PAGE…
section() { awk -v name="# $1" '/^# / { on = $0 == name; next } on' "${@:2}"; }
# What a section defines: bold words at the begin of a line, "*-c*, *--config* FILE".
defined() { section "$@" | grep -E '^\*' | grep -oE '\*[^*]+\*' | tr -d '*'; }

echo "# verbs"
"$N2X" --help | sed -n 's/^  \([a-z]\)/\1/p' | sort >"$DIR/verbs"
section SYNOPSIS man/*.8.scd | sed -n 's/[*_]//g; s/++$//; s/^nfq2xdp \([a-z]\)/\1/p' | grep -v ' \.\.\. see ' | sort >"$DIR/pages"
check "verbs and how they are called" "$(diff "$DIR/verbs" "$DIR/pages")" ""
# Its table of verbs: "nfq2xdp migrate hold|resume|extend -c FILE   no step up; …". status stands for both of its names.
verb_names() { grep -oE '^[a-z]+( [a-z]+)?' | sed 's/ *$//' | sort -u; }
check "verbs in the README" "$(sed -n 's/^nfq2xdp //p' README.md |
	awk '{ n = split($2, word, "|"); if (n < 2) print; else for (i = 1; i <= n; i++) print $1, word[i] }' | verb_names)" \
	"$(grep -v '^migrate status' "$DIR/verbs" | verb_names)"
check "each page that nfq2xdp(8) names is there" \
	"$(grep -oE 'nfq2xdp[a-z.-]*\*\([58]\)' man/nfq2xdp.8.scd | sed 's/\*(\([58]\))/.\1.scd/' | sort -u)" \
	"$(find man -name '*.scd' ! -name nfq2xdp.8.scd -printf '%f\n' | sort)"

echo "# options"
check "long options of nfq2xdp and of the pages" "$(defined OPTIONS man/*.8.scd | grep '^--' | sort -u)" \
	"$({ sed -nE 's/^\t\{ "([a-z-]+)",.*/--\1/p' core/args.c; printf '%s\n' --help --version; } | sort)"
check "exit codes" "$(defined "EXIT STATUS" man/nfq2xdp.8.scd | tr '\n' ' ')" \
	"$(sed -nE 's/.*= ([0-9]),.*/\1/p' core/err.h | tr '\n' ' ')"

echo "# keys"
# ask TEXT: what is said of a policy with an error in it.
ask() {
	printf '%s\n' "$1" >"$DIR/policy"
	"$N2X" migrate status -c "$DIR/policy" 2>&1
}
# The words behind "use" of such a line: "a, b or c".
words() { sed -nE "s/.*unknown (key|word)( bogus)?: use (.*)/\3/p" <<<"$1" | sed 's/ or /, /; s/, /\n/g'; }
yaml() { # yaml PATH TEXT: the text at a.b.c, around it what is required
	local key=$1 text=$2
	while [ -n "$key" ]; do
		text="{ ${key##*.}: $text }"
		[[ $key == *.* ]] && key=${key%.*} || key=''
	done
	echo "$text"
}
walk() { # walk PATH: every key below it
	local key path
	for key in $(words "$(ask "$(yaml "$1" '{ bogus: 1 }')")"); do
		path=${1:+$1.}$key
		if [ -n "$(words "$(ask "$(yaml "$path" '{ bogus: 1 }')")")" ]; then
			walk "$path"
		else
			echo "$path"
		fi
	done
}
walk "" | sort >"$DIR/keys"
check_le "keys that the program knows" 18 "$(wc -l <"$DIR/keys")"
defined KEYS man/nfq2xdp.yaml.5.scd | sort >"$DIR/manual"
check "keys of the program and of the page" "$(diff "$DIR/keys" "$DIR/manual")" ""
check "keys of the program and of the README" \
	"$(diff "$DIR/keys" <(sed -nE 's/^\| `([a-z.-]+)` \|.*/\1/p' README.md | sort))" ""
awk '/^```/ { on = !on; next } on' man/nfq2xdp.yaml.5.scd >"$DIR/policy"
"$N2X" run nfqueue -c "$DIR/policy" --dry-run >"$DIR/out" 2>&1
check "the page's example is a policy" "$?" 0

echo "# the pages"
for page in man/*.scd; do
	check "$page: scdoc" "$(scdoc <"$page" 2>&1 >"$DIR/page")" ""
done

echo "# completion"
# shellcheck source=man/completion.bash
. man/completion.bash
PATH=$BUILD:$PATH
complete_words() {
	COMP_WORDS=(nfq2xdp "$@")
	COMP_CWORD=$#
	_nfq2xdp
	printf '%s\n' "${COMPREPLY[@]}" | sort | xargs
}
check "groups" "$(complete_words "")" "$(sed 's/ .*//' "$DIR/verbs" | sort -u | xargs)"
while read -r line; do
	verb=$(grep -oE '^[a-z]+( [a-z]+)?' <<<"$line")
	# shellcheck disable=SC2086
	check "$verb" "$(complete_words $verb "")" \
		"$({ grep -oE '[[ {|]--?[a-z-]+' <<<"$line" | sed 's/^[^-]*//'; printf '%s\n' --json -v; } | sort | xargs)"
	[[ $verb != *" "* ]] || check "a part of $verb" "$(complete_words "${verb% *}" "${verb#* }" | tr ' ' '\n' |
		grep -cx "${verb#* }")" 1
done <"$DIR/verbs"
check "a value" "$(complete_words migrate split --by "")" flow
tally
