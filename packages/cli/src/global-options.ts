import { Option } from 'commander';

/** Accepted before and after the command. */
export const globalOptions: readonly Option[] = [
  new Option('--url <url>', 'address of the server (environment: BACKHAUL_URL)'),
  new Option('--token <token>', 'operator token (prefer BACKHAUL_TOKEN: flags are visible in ps)'),
  new Option('--insecure', 'allow http:// to another machine: anyone on the network path can read the token'),
  new Option(
    '--ca-file <file>',
    'CA certificates (PEM) to trust, e.g. of a private authority or of a proxy that inspects TLS; may be repeated',
  )
    .argParser<readonly string[]>((file, files) => [...files, file])
    .default([], 'none'),
  new Option('--json', 'print JSON'),
];

export const helpOption = new Option('--help', 'print this help');

/** Accepted only without a command. */
export const versionOption = new Option('--version', 'print the version');
