import type { TreeNode } from './completion-tree.ts';
import { type Dialect, shellTables } from './shell-tables.ts';

const dialect: Dialect = {
  table(name, rows) {
    const cases = rows.map(
      ([keys, action]) => `        case ${keys.map(quote).join(' ')}\n            ${action}`,
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
    const words = candidates.flatMap(({ word, summary = '' }) => [quote(word), quote(summary)]);
    return `printf '%s\\t%s\\n' ${words.join(' ')}`;
  },
};

function quote(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}

/** Works with fish 3.1 and later. */
export function fishScript(nodes: readonly TreeNode[]): string {
  return `# Completion of backhaul in fish: backhaul completion fish | source
${shellTables(nodes, dialect)}
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
