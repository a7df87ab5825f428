import { STORAGE_CLASSES } from './request/properties.ts';

/** Output of `--help`: a manual page for 80 columns. */
export const HELP = `NAME
    backhaul-object-store - an S3-compatible store in one directory

SYNOPSIS
    backhaul-object-store --port PORT --data DIR --access-key KEY
        --secret-key SECRET [option]...

DESCRIPTION
    Serves the S3 API for demos, tests and single machines. When it listens,
    it prints a line of JSON with "event":"listening" and its address as
    "url". SIGTERM and SIGINT stop it gracefully.

    Unsupported requests, such as those for encryption, versions, tags and
    policies, get an error response. The storage class is only a label: it is
    stored and returned, but does not affect how bytes are stored. Its values
    are:

${STORAGE_CLASSES.map((name) => `        ${name}`).join('\n')}

OPTIONS
    --port PORT
        Port to listen on; 0 uses a free port and prints it.
    --data DIR
        Data directory. Only one process at a time can use it.
    --access-key KEY
        Access key.
    --secret-key SECRET
        Secret key. Prefer the environment variable: flags are visible in \`ps\`.
    --host HOST
        Address to listen on; by default 127.0.0.1, reachable only from this
        machine.
    --bucket NAME
        Create this bucket if it does not exist. May be repeated.
    --region REGION
        Region that signatures must contain; us-east-1 by default.
    --access-log FILE|-
        Append a line of JSON for each request; - means standard output.
    --log-format FORMAT
        Format of the line printed when it listens: human (default on a
        terminal) or json (default elsewhere).
    --sweep-after HOURS
        Abort multipart uploads older than this; 168 by default.
    --exit-with-stdin
        Stop when standard input closes, for example when the parent exits.
    --version
        Print the version.
    -h, --help
        Print this help.

ENVIRONMENT
    BACKHAUL_STORE_ACCESS_KEY
        Access key, used if --access-key is not given.
    BACKHAUL_STORE_SECRET_KEY
        Secret key, used if --secret-key is not given.

EXIT STATUS
    0   stopped by SIGTERM, SIGINT or the end of standard input
    1   failed to start, or stopped by an error
    2   invalid flags or environment, or DIR is in use or has other content

EXAMPLES
    backhaul-object-store --port 9000 --data ./store --access-key demo \\
        --secret-key demo-secret --bucket uploads

    BACKHAUL_STORE_ACCESS_KEY=demo BACKHAUL_STORE_SECRET_KEY=demo-secret \\
        backhaul-object-store --port 0 --data /tmp/store --exit-with-stdin
`;
