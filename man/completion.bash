# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# bash completion for nfq2xdp: what its own --help says, so that there is no second table.
_nfq2xdp() {
	local cur=${COMP_WORDS[COMP_CWORD]} said="${COMP_WORDS[*]:1:COMP_CWORD-1}"
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	--example) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	--by) COMPREPLY=(flow) ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" --help 2>/dev/null | _nfq2xdp_words "${said:+$said }")" -- "$cur") ;;
	esac
}

# The words that can come behind those said: of a verb, or its options. A verb's line is "  group name -c FILE …".
_nfq2xdp_words() {
	awk -v said="$1" '/^  [a-z]/ {
		verb = $2 ~ /^[a-z]+$/ ? $1 " " $2 " " : $1 " "
		if (index(verb, said) == 1 && verb != said)
			next_word[said == "" ? $1 : $2]
		if (index(said, verb) != 1)
			next
		for (i = 2; i <= NF; i++)
			if (gsub(/[^-a-z]/, "", $i) >= 0 && $i ~ /^-/)
				next_word[$i]
		next_word["--json"]; next_word["-v"]
	}
	END { for (word in next_word) print word }'
}
complete -F _nfq2xdp nfq2xdp
