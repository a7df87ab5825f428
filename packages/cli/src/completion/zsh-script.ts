import type { TreeNode } from './completion-tree.ts';
import { posixTables } from './posix-tables.ts';

/** To be sourced after compinit, or put as `_backhaul` into a directory of fpath. */
export function zshScript(nodes: readonly TreeNode[]): string {
  return `#compdef backhaul
# Completion of backhaul in zsh, after compinit: source <(backhaul completion zsh)
${posixTables(nodes)}
_backhaul() {
    local command=backhaul flag='' place=0 index
    local -a offers
    for ((index = 2; index < CURRENT; index++)); do _backhaul_read "\${words[index]}"; done
    if _backhaul_takes_file "$command" "$flag"; then
        _files
        return
    fi
    offers=("\${(@f)$(_backhaul_candidates "\${words[CURRENT]}")}")
    if [[ -n $offers[1] ]]; then _describe backhaul offers; fi
}

# Found by fpath, this file is the function's body at its first call.
if [[ $funcstack[1] == _backhaul ]]; then _backhaul "$@"; else compdef _backhaul backhaul; fi
`;
}
