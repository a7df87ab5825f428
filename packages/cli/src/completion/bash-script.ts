import type { TreeNode } from './completion-tree.ts';
import { posixTables } from './posix-tables.ts';

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
