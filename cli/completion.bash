# SPDX-License-Identifier: MIT
# bash completion of symphony(1)

_symphony_bus()
{
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-b | --bus) printf '%s\n' --bus "${COMP_WORDS[i + 1]}" ;;
		esac
	done
}

# Names of what there is: a column of a table without its title.
_symphony_column()
{
	local column=$1 options
	shift
	mapfile -t options < <(_symphony_bus)
	timeout 2 symphony "${options[@]}" list "$@" 2>/dev/null |
		awk -v c="$column" 'NR > 1 { print $c }' | sort -u
}

_symphony()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local i words=() common="--bus --owner --json --help"
	COMPREPLY=()

	case $prev in
	-b | --bus)
		COMPREPLY=($(compgen -W "$(timeout 2 symphony list buses 2>/dev/null |
			awk 'NR > 1 { print $1 }')" -- "$cur"))
		return
		;;
	--hook)
		COMPREPLY=($(compgen -W "route shadow admit" -- "$cur"))
		return
		;;
	--owner | --timeout | --key | --delay | --count | --duration | --wait)
		return
		;;
	esac

	# What stands before, without options and their values.
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-b | --bus | --owner | --hook | --timeout | --key | --delay | --count | --duration | --wait) ((i++)) ;;
		-*) [ "${COMP_WORDS[i]}" = --all ] && words+=(--all) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done

	local choices=
	if [[ $cur == -* ]]; then
		case ${words[0]-} in
		call) choices="--timeout --key" ;;
		top) choices="--delay --count --plain" ;;
		monitor) choices="--calls --count --duration" ;;
		route) choices="--all --wait --hook" ;;
		trace) choices="--duration" ;;
		"") choices="--version" ;;
		esac
		COMPREPLY=($(compgen -W "$choices $common" -- "$cur"))
		return
	fi
	case ${#words[@]}:${words[0]-} in
	0:) choices="list stat top monitor call describe route trace doctor" ;;
	1:list) choices="services buses replicas endpoints" ;;
	1:stat | 1:call | 1:describe | 1:trace | 1:monitor) choices=$(_symphony_column 2) ;;
	1:route) choices="show policies attach shadow replace set detach" ;;
	2:route) [ "${words[1]}" = policies ] || choices=$(_symphony_column 2) ;;
	3:route)
		case ${words[1]} in
		attach | shadow | replace) choices=$(timeout 2 symphony route policies 2>/dev/null) ;;
		esac
		;;
	esac
	COMPREPLY=($(compgen -W "$choices" -- "$cur"))
}

complete -F _symphony symphony
