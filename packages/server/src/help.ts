import { settingSections } from './config/render-settings.ts';
import { SERVER_VERSION } from './version.ts';

/** What `--help` or `--version` print, to standard output and with exit code 0; undefined if neither is asked for. */
export function informationFor(argv: readonly string[]): string | undefined {
  if (argv.includes('--help') || argv.includes('-h'))
    return argv[0] === 'backup' ? BACKUP_HELP : serverHelp();
  if (argv.includes('--version')) return `${SERVER_VERSION}\n`;
  return undefined;
}

/** A manual page for 80 columns. */
const serverHelp = (): string => `NAME
    backhaul-server - have agents upload files straight to S3

SYNOPSIS
    backhaul-server [--dev] [--host HOST] [--port PORT] [--config FILE]
        [--setup-bucket]
    backhaul-server backup FILE [--config FILE] [--dev]

DESCRIPTION
    Asks agents for files, gives them presigned URLs to upload to, and checks
    what arrived. It runs until SIGTERM or SIGINT and ends in good order; a
    second signal ends it at once.

    A setting comes from a flag, else from the environment, else from the FILE
    of --config, else from its default.

    backup copies the database, while a server runs on it or not; see
    backhaul-server backup --help.

OPTIONS
    --dev
        Needs no settings: an embedded object store, a secret and a database
        under .backhaul/ in the working directory. For this machine only.
    --host HOST
        Address to listen on; 127.0.0.1 with --dev, otherwise 0.0.0.0. --dev
        looks at this flag only, not at HOST in the environment or a file.
    --port PORT
        Port to listen on; 8080 by default.
    --config FILE
        JSON object with settings, named as in ENVIRONMENT.
    --setup-bucket
        Create the bucket if there is none, and set it up. A change that
        makes writes fail is undone.
    --version
        Print the version.
    -h, --help
        Print this.

ENVIRONMENT
${settingSections()}

EXIT STATUS
    0   stopped by SIGTERM or SIGINT
    1   unexpected fault, the store is away, or stopping took too long
    2   a setting must be changed; the message names all of them

FILES
    .backhaul/
        In the working directory, with --dev: database, objects and secret.
    .backhaul/dev.json
        While it runs with --dev: URL and tokens, for agents and command line
        started in that directory.

EXAMPLES
    backhaul-server --dev

    S3_BUCKET_NAME=my-app-uploads AWS_REGION=eu-central-1 \\
        JWT_SECRET="$(cat jwt-secret)" backhaul-server

    backhaul-server --config /etc/backhaul/server.json --port 8443
`;

const BACKUP_HELP = `NAME
    backhaul-server backup - copy the database to a new file

SYNOPSIS
    backhaul-server backup FILE [--config FILE] [--dev]

DESCRIPTION
    Writes a consistent copy of the database to FILE, which must not exist,
    while a server runs on it or not. Looks at no other setting than
    DATABASE_URL. Stopped by a signal, it leaves no FILE.

OPTIONS
    --config FILE
        JSON object with settings, which may have DATABASE_URL.
    --dev
        The database of a backhaul-server --dev in the working directory.
    --version
        Print the version.
    -h, --help
        Print this.

ENVIRONMENT
    DATABASE_URL
        The database; see backhaul-server --help.

EXIT STATUS
    0   FILE is written
    1   there is no backup; the message says why
    2   a flag or setting must be changed

EXAMPLES
    backhaul-server backup /backups/backhaul-$(date +%F).sqlite \\
        --config /etc/backhaul/server.json
`;
