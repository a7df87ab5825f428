import type { TreeNode } from './completion-tree.ts';
import { type Dialect, shellTables } from './shell-tables.ts';

/** What bash and zsh have in common. A candidate is printed as `word:summary`, or as the word alone. */
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

/** The tables, and what reads a command line by them. */
export function posixTables(nodes: readonly TreeNode[]): string {
  return `${shellTables(nodes, dialect)}
# Nothing is offered when the server is away.
_backhaul_clients() { backhaul clients --limit 500 2>/dev/null | awk 'NR > 1 { print $1 }'; }
_backhaul_uploads() { backhaul uploads --limit 50 2>/dev/null | awk 'NR > 1 { print $1 }'; }

# Takes a word before the cursor. Kept in variables of the caller: the command so far, a flag whose value is to come,
# and the number of arguments.
_backhaul_read() {
    if [[ -n $flag ]]; then
        # bash makes --flag=value three words.
        [[ $1 == '=' ]] || flag=''
    elif [[ $1 == -* ]]; then
        if _backhaul_takes_value "$command" "$1"; then flag=$1; fi
    elif _backhaul_known "$command" "$1"; then
        command="$command $1"
    else
        place=$((place + 1))
    fi
}

# What can stand at the cursor, where the word begins like this.
_backhaul_candidates() {
    if [[ -n $flag ]]; then
        _backhaul_values "$command" "$flag"
    elif [[ $1 == -* ]]; then
        _backhaul_flags "$command"
    else
        _backhaul_commands "$command" || _backhaul_arguments "$command" "$place"
    fi
}
`;
}
