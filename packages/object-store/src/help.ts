import { STORAGE_CLASSES } from './request/properties.ts';

/** What `--help` prints, as a manual page is laid out, for 80 columns. */
export const HELP = `NAME
    backhaul-object-store - an S3-compatible store in one directory

SYNOPSIS
    backhaul-object-store --port PORT --data DIR --access-key KEY
        --secret-key SECRET [option]...

DESCRIPTION
    Answers requests as S3 does, for demos, tests and single machines. Once it
    listens it prints a line of JSON with "event":"listening" and its address
    as "url". SIGTERM and SIGINT stop it in good order.

    What it does not do, it refuses: encryption, versions, tags, policies and
    the like are answered with an error. The storage class is a label, stored
    and shown; it changes nothing about how or where bytes are kept. It is one
    of:

${STORAGE_CLASSES.map((name) => `        ${name}`).join('\n')}

OPTIONS
    --port PORT
        Port to listen on; 0 takes a free one, told on standard output.
    --data DIR
        Where everything is kept. One process at a time may use it.
    --access-key KEY
        The one access key.
    --secret-key SECRET
        Its secret. Flags show in \`ps\`: prefer the environment variable.
    --host HOST
        Address to listen on; 127.0.0.1 by default, this machine only.
    --bucket NAME
        Create this bucket unless it exists. May be repeated.
    --region REGION
        Region that signatures must name; us-east-1 by default.
    --access-log FILE|-
        Append a line of JSON for each request; - is standard output.
    --log-format FORMAT
        Of what is printed once it listens: human (default on a terminal) or
        json (default elsewhere).
    --sweep-after HOURS
        Abort multipart uploads older than this; 168 by default.
    --exit-with-stdin
        Stop when standard input closes, so that no parent leaves it behind.
    --version
        Print the version.
    -h, --help
        Print this.

ENVIRONMENT
    BACKHAUL_STORE_ACCESS_KEY
        The access key, without --access-key.
    BACKHAUL_STORE_SECRET_KEY
        Its secret, without --secret-key.

EXIT STATUS
    0   stopped by SIGTERM or SIGINT, or by the end of standard input
    1   it could not start or go on
    2   a mistake in flags or environment, or DIR is in use or not its own

EXAMPLES
    backhaul-object-store --port 9000 --data ./store --access-key demo \\
        --secret-key demo-secret --bucket uploads

    BACKHAUL_STORE_ACCESS_KEY=demo BACKHAUL_STORE_SECRET_KEY=demo-secret \\
        backhaul-object-store --port 0 --data /tmp/store --exit-with-stdin
`;
