import { Argument } from 'commander';
import { type AnyCommand, type CommandGroup, defineCommand } from '../command.ts';
import { completionTree, type TreeNode } from '../completion/command-tables.ts';
import { bashScript, fishScript, zshScript } from '../completion/scripts.ts';

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const satisfies Record<
  string,
  (nodes: readonly TreeNode[]) => string
>;
type Shell = keyof typeof scripts;

/** @param table Returns all commands, including this one. */
export function completion(table: () => readonly (AnyCommand | CommandGroup)[]): AnyCommand {
  return defineCommand<readonly [shell: Shell]>({
    name: 'completion',
    summary: 'print a shell completion script',
    description:
      'Completes commands, flags and their values; client ids and upload ids are fetched from the server. To install ' +
      'it, add the line for your shell (see EXAMPLES) to ~/.bashrc, ~/.zshrc (after compinit) or ' +
      '~/.config/fish/config.fish.',
    arguments: [new Argument('<shell>', 'bash, zsh or fish').choices(Object.keys(scripts))],
    examples: [
      'source <(backhaul completion bash)',
      'source <(backhaul completion zsh)',
      'backhaul completion fish | source',
    ],
    async run({ output }, { arguments: [shell] }) {
      const script = scripts[shell](completionTree(table()));
      if (output.json) output.value({ shell, script });
      else output.lines(script.trimEnd().split('\n'));
    },
  });
}
