import { Option } from 'commander';

/** Taken before and after the command. */
export const globalOptions: readonly Option[] = [
  new Option('--url <url>', "the server's address; also BACKHAUL_URL"),
  new Option('--token <token>', 'an operator token; better BACKHAUL_TOKEN, which others cannot see'),
  new Option('--insecure', 'accept http:// to another machine: others on the way can read the token'),
  new Option(
    '--ca-file <file>',
    'certificates (PEM) of a private authority, or of a proxy that inspects TLS; may be repeated',
  )
    .argParser<readonly string[]>((file, files) => [...files, file])
    .default([], 'none'),
  new Option('--json', 'print JSON, for programs'),
];

export const helpOption = new Option('--help', 'print this help');

/** Of the program alone. */
export const versionOption = new Option('--version', 'print the version');
