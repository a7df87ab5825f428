import { settingSections } from './config/render-settings.ts';
import { SERVER_VERSION } from './version.ts';

/** Text that `--help` or `--version` print to standard output with exit code 0; undefined without these flags. */
export function informationFor(argv: readonly string[]): string | undefined {
  if (argv.includes('--help') || argv.includes('-h'))
    return argv[0] === 'backup' ? BACKUP_HELP : serverHelp();
  if (argv.includes('--version')) return `${SERVER_VERSION}\n`;
  return undefined;
}

/** Wrapped for 80 columns. */
const serverHelp = (): string => `NAME
    backhaul-server - pull files from agents straight into S3

SYNOPSIS
    backhaul-server [--dev] [--host HOST] [--port PORT] [--config FILE]
        [--setup-bucket]
    backhaul-server backup FILE [--config FILE] [--dev]

DESCRIPTION
    Requests files from agents, gives them presigned URLs to upload to, and
    verifies the uploaded objects. It runs until SIGTERM or SIGINT and then
    shuts down gracefully; a second signal ends it immediately.

    A setting is read from its flag, else from the environment, else from the
    FILE of --config; otherwise its default applies.

    backup copies the database, also while a server is using it; see
    backhaul-server backup --help.

OPTIONS
    --dev
        Run without settings: creates an embedded object store, a secret and a
        database under .backhaul/ in the working directory. Local use only.
    --host HOST
        Address to listen on; 127.0.0.1 with --dev, otherwise 0.0.0.0. --dev
        uses only this flag, not HOST from the environment or a file.
    --port PORT
        Port to listen on; 8080 by default.
    --config FILE
        JSON object with settings; names as in ENVIRONMENT.
    --setup-bucket
        Create the bucket if it does not exist, and configure it. A change
        that makes writes fail is reverted.
    --version
        Print the version.
    -h, --help
        Print this help.

ENVIRONMENT
${settingSections()}

EXIT STATUS
    0   stopped by SIGTERM or SIGINT
    1   unexpected fault, object store unreachable, or shutdown timed out
    2   settings must be changed; the message lists all of them

FILES
    .backhaul/
        With --dev, in the working directory: database, objects and secret.
    .backhaul/dev.json
        While the server runs with --dev: URL and tokens, used by agents and
        the command line started in that directory.

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
    Writes a consistent copy of the database to FILE, which must not exist.
    A server may be using the database. DATABASE_URL is the only setting it
    reads. If a signal stops it, no FILE is left.

OPTIONS
    --config FILE
        JSON object with settings; only DATABASE_URL is used.
    --dev
        Use the database of backhaul-server --dev in the working directory.
    --version
        Print the version.
    -h, --help
        Print this help.

ENVIRONMENT
    DATABASE_URL
        The database; see backhaul-server --help.

EXIT STATUS
    0   FILE is written
    1   no backup was written; the message gives the reason
    2   a flag or setting must be changed

EXAMPLES
    backhaul-server backup /backups/backhaul-$(date +%F).sqlite \\
        --config /etc/backhaul/server.json
`;
