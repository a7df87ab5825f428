import { explanation, settingGroups, wrapWords } from './config/render-settings.ts';
import type { SettingName } from './config/settings.ts';
import { SERVER_VERSION } from './version.ts';

/** What `--help` or `--version` print, to standard output and with exit code 0; undefined if neither is asked for. */
export function informationFor(argv: readonly string[]): string | undefined {
  if (argv.includes('--help') || argv.includes('-h')) return helpText();
  if (argv.includes('--version')) return `${SERVER_VERSION}\n`;
  return undefined;
}

const WIDTH = 98;

const head = `Usage: backhaul-server [--dev] [--host HOST] [--port PORT] [--config FILE] [--setup-bucket]
       backhaul-server backup FILE [--config FILE] [--dev]

Asks agents for files and has them uploaded straight to S3.
"backup" copies the database to a new FILE instead, while a server runs on it or not.

Flags:
  --dev            Needs no settings: an embedded object store, a secret and a database under
                   .backhaul/ in the working directory. For this machine only.
  --host HOST      Address to listen on; 127.0.0.1 with --dev, otherwise 0.0.0.0.
  --port PORT      Port to listen on; 8080.
  --config FILE    JSON object with settings, named as below. Flags and environment win over it.
  --setup-bucket   Create the bucket if there is none, and set it up.
  --version        Print the version.
  --help           Print this.

Examples:
  backhaul-server --dev
  S3_BUCKET_NAME=my-app-uploads AWS_REGION=eu-central-1 \\
    JWT_SECRET="$(cat jwt-secret)" backhaul-server
  backhaul-server --config /etc/backhaul/server.json --port 8443
  backhaul-server backup /backups/backhaul-$(date +%F).sqlite --config /etc/backhaul/server.json

Settings, in the environment or in FILE:
`;

function helpText(): string {
  const groups = settingGroups().map(({ heading, names }) =>
    [`\n${heading}`, ...names.flatMap((name) => settingLines(name))].join('\n'),
  );
  return `${head}${groups.join('\n')}\n`;
}

function settingLines(name: SettingName): string[] {
  return [`  ${name}`, ...wrapWords(explanation(name), WIDTH - 6).map((line) => `      ${line}`)];
}
