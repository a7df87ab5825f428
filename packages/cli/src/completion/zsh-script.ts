import type { TreeNode } from './completion-tree.ts';
import { posixTables } from './posix-tables.ts';

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
