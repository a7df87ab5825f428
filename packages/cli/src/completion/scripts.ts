import { type Dialect, shellTables, type TreeNode } from './command-tables.ts';

/** Syntax shared by bash and zsh. A candidate is printed as `word:summary`, or as the word alone. */
const posixDialect: Dialect = {
  table(name, rows) {
    const cases = rows.map(
      ([keys, action]) => `        ${keys.map(quoteForPosix).join(' | ')}) ${action} ;;`,
    );
    return [
      `${name}() {`,
      "    local IFS=' '",
      '    case "$*" in',
      ...cases,
      '        *) return 1 ;;',
      '    esac',
      '}',
      '',
    ].join('\n');
  },
  print(candidates) {
    const lines = candidates.map(({ word, summary }) =>
      quoteForPosix(summary === undefined ? word : `${word}:${summary}`),
    );
    return `printf '%s\\n' ${lines.join(' ')}`;
  },
};

function quoteForPosix(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Returns the tables and the functions that parse a command line with them. */
function posixTables(nodes: readonly TreeNode[]): string {
  return `${shellTables(nodes, posixDialect)}
# Offers nothing when the server cannot be reached.
_backhaul_clients() { backhaul clients --limit 500 2>/dev/null | awk 'NR > 1 { print $1 }'; }
_backhaul_uploads() { backhaul uploads --limit 50 2>/dev/null | awk 'NR > 1 { print $1 }'; }

# Parses one word before the cursor. Updates variables of the caller: the command so far, a flag that expects a
# value, and the number of arguments.
_backhaul_read() {
    if [[ -n $flag ]]; then
        # bash splits --flag=value into three words.
        [[ $1 == '=' ]] || flag=''
    elif [[ $1 == -* ]]; then
        if _backhaul_takes_value "$command" "$1"; then flag=$1; fi
    elif _backhaul_known "$command" "$1"; then
        command="$command $1"
    else
        position=$((position + 1))
    fi
}

# Prints the candidates for the word at the cursor, which starts with $1.
_backhaul_candidates() {
    if [[ -n $flag ]]; then
        _backhaul_values "$command" "$flag"
    elif [[ $1 == -* ]]; then
        _backhaul_flags "$command"
    else
        _backhaul_commands "$command" || _backhaul_arguments "$command" "$position"
    fi
}
`;
}

/** Works with bash 3.2 and later. */
export function bashScript(nodes: readonly TreeNode[]): string {
  return `# Completion of backhaul in bash: source <(backhaul completion bash)
${posixTables(nodes)}
_backhaul() {
    local command=backhaul flag='' position=0 current=\${COMP_WORDS[COMP_CWORD]} index line IFS=$'\\n'
    for ((index = 1; index < COMP_CWORD; index++)); do _backhaul_read "\${COMP_WORDS[index]}"; done
    if [[ $current == '=' ]]; then current=''; fi
    COMPREPLY=()
    if _backhaul_takes_file "$command" "$flag"; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
    fi
    while read -r line; do
        line=\${line%%:*}
        if [[ -n $line && $line == "$current"* ]]; then COMPREPLY+=("$line"); fi
    done <<<"$(_backhaul_candidates "$current")"
}
complete -F _backhaul backhaul
`;
}

/** Can be sourced after compinit, or saved as `_backhaul` in a directory of fpath. */
export function zshScript(nodes: readonly TreeNode[]): string {
  return `#compdef backhaul
# Completion of backhaul in zsh, after compinit: source <(backhaul completion zsh)
${posixTables(nodes)}
_backhaul() {
    local command=backhaul flag='' position=0 index
    local -a offers
    for ((index = 2; index < CURRENT; index++)); do _backhaul_read "\${words[index]}"; done
    if _backhaul_takes_file "$command" "$flag"; then
        _files
        return
    fi
    offers=("\${(@f)$(_backhaul_candidates "\${words[CURRENT]}")}")
    if [[ -n $offers[1] ]]; then _describe backhaul offers; fi
}

# When autoloaded from fpath, this file is the body of the function on its first call.
if [[ $funcstack[1] == _backhaul ]]; then _backhaul "$@"; else compdef _backhaul backhaul; fi
`;
}

const fishDialect: Dialect = {
  table(name, rows) {
    const cases = rows.map(
      ([keys, action]) => `        case ${keys.map(quoteForFish).join(' ')}\n            ${action}`,
    );
    return [
      `function ${name}`,
      '    switch "$argv"',
      ...cases,
      "        case '*'",
      '            return 1',
      '    end',
      'end',
      '',
    ].join('\n');
  },
  print(candidates) {
    const words = candidates.flatMap(({ word, summary = '' }) => [quoteForFish(word), quoteForFish(summary)]);
    return `printf '%s\\t%s\\n' ${words.join(' ')}`;
  },
};

function quoteForFish(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}

/** Works with fish 3.1 and later. */
export function fishScript(nodes: readonly TreeNode[]): string {
  return `# Completion of backhaul in fish: backhaul completion fish | source
${shellTables(nodes, fishDialect)}
# Offers nothing when the server cannot be reached.
function _backhaul_clients
    backhaul clients --limit 500 2>/dev/null | awk 'NR > 1 { print $1 }'
end
function _backhaul_uploads
    backhaul uploads --limit 50 2>/dev/null | awk 'NR > 1 { print $1 }'
end

function _backhaul_candidates
    # The command so far, a flag that expects a value, and the number of arguments.
    set -l command backhaul
    set -l flag ''
    set -l position 0
    for word in (commandline -opc)[2..-1]
        if test -n "$flag"
            set flag ''
        else if string match -q -- '-*' $word
            if _backhaul_takes_value "$command" $word
                set flag $word
            end
        else if _backhaul_known "$command" $word
            set command "$command $word"
        else
            set position (math $position + 1)
        end
    end
    set -l current (commandline -ct)
    if _backhaul_takes_file "$command" $flag
        __fish_complete_path $current
    else if test -n "$flag"
        _backhaul_values "$command" $flag
    else if string match -q -- '-*' $current
        _backhaul_flags "$command"
    else
        _backhaul_commands "$command"; or _backhaul_arguments "$command" $position
    end
end
complete -c backhaul -f -a '(_backhaul_candidates)'
`;
}
