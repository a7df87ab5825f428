import type { TreeNode } from './completion-tree.ts';
import { type Dialect, shellTables } from './shell-tables.ts';

/** Syntax shared by bash and zsh. A candidate is printed as `word:summary`, or as the word alone. */
const dialect: Dialect = {
  table(name, rows) {
    const cases = rows.map(([keys, action]) => `        ${keys.map(quote).join(' | ')}) ${action} ;;`);
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
      quote(summary === undefined ? word : `${word}:${summary}`),
    );
    return `printf '%s\\n' ${lines.join(' ')}`;
  },
};

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Returns the tables and the functions that parse a command line with them. */
export function posixTables(nodes: readonly TreeNode[]): string {
  return `${shellTables(nodes, dialect)}
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
