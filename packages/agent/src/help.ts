/** What `--help` prints, as a manual page is laid out, for 80 columns. */
export const HELP = `NAME
    backhaul-agent - upload the files of this machine that are asked for

SYNOPSIS
    backhaul-agent --client-id ID [--file PATH] [--allow DIR]...
        --server-url URL [--token-file FILE] [option]...

DESCRIPTION
    Keeps one outbound connection to a Backhaul server and uploads the files it
    is asked for, from what you allow it to read and from nowhere else.
    With neither --file nor --allow that is nothing, whatever the server asks.

    It runs until SIGTERM or SIGINT; a second signal stops it at once. A lost
    connection is made anew, and uploads under way go on meanwhile.

OPTIONS
    Who and where:

    --client-id ID
        This machine's name. The server takes it from the token, so they must
        agree.
    --server-url URL
        ws://localhost:8080 or wss://backhaul.example.com.
    --token-file FILE
        File with the agent's token. It is read again at each connection, so
        it can be replaced.
    --token TOKEN
        The token itself. Anyone on this machine can see it in \`ps\`: prefer
        --token-file or the environment variable.
    --insecure
        Allow ws:// to another machine: the token and all messages travel in
        the clear.
    --label KEY=VALUE
        A label to find this machine by. May be repeated.

    What may be read:

    --file PATH
        The file that is uploaded when the server names none.
    --allow DIR
        Files below this directory too. May be repeated.
    --max-file-size BYTES
        Refuse larger files.

    Where files may go:

    --allow-storage ORIGIN
        Upload only to this origin, such as
        https://my-bucket.s3.eu-central-1.amazonaws.com. May be repeated.
        Without it: any https origin outside this machine.

    How fast:

    --max-rate BYTES_PER_SECOND
        Of all uploads together; 1024 or more.
    --max-uploads N
        Uploads at once, 1 to 64; 2 by default.
    --parallel-parts N
        PUTs at once, of all uploads together, 1 to 64; 4 by default.
    --no-sha256
        Leave out the SHA-256 of the whole file. Parts are still checksummed.

    What it tells, on standard error:

    --log-level LEVEL
        debug, info (default), warn, error or silent.
    --log-format FORMAT
        human (default on a terminal) or json (default elsewhere).

    --version
        Print the version.
    -h, --help
        Print this.

ENVIRONMENT
    BACKHAUL_URL
        The server's address, without --server-url.
    BACKHAUL_TOKEN
        The token, without --token and --token-file.
    HTTPS_PROXY, NO_PROXY
        Honoured for wss:// and https://.
    NODE_EXTRA_CA_CERTS
        File with the certificates of a private authority.

EXIT STATUS
    0   stopped by SIGTERM or SIGINT
    1   unexpected fault, or a second signal
    2   a mistake in flags or environment, which the message names

FILES
    .backhaul/dev.json
        In the working directory, where \`backhaul-server --dev\` leaves it. With
        none of --token, --token-file and BACKHAUL_TOKEN, its address and
        secret are used.

EXAMPLES
    Beside a server of \`backhaul-server --dev\`, in the same directory:

    backhaul-agent --client-id restaurant-1 --file /data/report.bin \\
        --server-url ws://localhost:8080

    All files below a directory, to one bucket alone:

    backhaul-agent --client-id lab-7 --allow /srv/results \\
        --server-url wss://backhaul.example.com \\
        --token-file /etc/backhaul/token \\
        --allow-storage https://results.s3.eu-central-1.amazonaws.com

    Half a megabyte a second, and a label:

    backhaul-agent --client-id till-3 --file /var/lib/till/day.db \\
        --max-rate 500000 --label site=berlin \\
        --server-url wss://backhaul.example.com --token-file /etc/backhaul/token
`;
