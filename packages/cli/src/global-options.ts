import { Option } from 'commander';

/** Taken before and after the command. */
export const globalOptions: readonly Option[] = [
  new Option('--url <url>', "the server's address; also BACKHAUL_URL"),
  new Option('--token <token>', 'an operator token; better BACKHAUL_TOKEN, which others cannot see'),
  new Option('--json', 'print JSON, for programs'),
];

export const helpOption = new Option('--help', 'print this help');

/** Of the program alone. */
export const versionOption = new Option('--version', 'print the version');
