/** What `--help` prints, as a manual page is laid out, for 80 columns. */
export const HELP = `NAME
    backhaul-agent - upload the files of this machine that are asked for

SYNOPSIS
    backhaul-agent --client-id ID [--file PATH]... [--allow DIR]...
        --server-url URL [--token-file FILE] [option]...

DESCRIPTION
    Keeps one outbound connection to a Backhaul server and uploads the files it
    is asked for, from what you allow it to read and from nowhere else.
    With neither --file nor --allow that is nothing, whatever the server asks.

    It runs until SIGTERM or SIGINT; a second signal stops it at once. A lost
    connection is reopened, and uploads under way go on meanwhile. SIGHUP has
    it read the files of --ca-file at once.

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
    --state-directory DIR
        A directory of the agent's own. In it the agent keeps the token that
        the server renews; nothing in it is ever uploaded. Without it, the
        token is not renewed. The later one of this token and that of
        --token-file is used.
    --token TOKEN
        The token itself. Anyone on this machine can see it in \`ps\`: prefer
        --token-file or the environment variable.
    --ca-file FILE
        Certificates (PEM) of a private authority, or of a proxy that inspects
        TLS, to trust besides those of the system. May be repeated. A changed
        file is read again while the agent runs.
    --client-cert FILE
    --client-key FILE
        Certificate (PEM) and its key for a server that asks for one
        (TLS_CLIENT_CA_FILE). Read again at each connection.
    --insecure
        Allow ws:// to another machine: the token and all messages travel in
        the clear.
    --label KEY=VALUE
        A label to find this machine by. May be repeated.

    What may be read:

    --file PATH
        A file that may be read. The first is uploaded when the server names
        none. May be repeated.
    --allow DIR
        Files below this directory too. May be repeated.
    --roots-are-private
        Your word that no account but yours and those you trust can write
        below the directories of --allow and --file. Windows and Unix systems
        other than Linux and macOS need it: there, somebody who swaps a
        directory for a link in the right moment could make the agent read
        other files, and it cannot notice. Linux and macOS refuse the flag,
        because they prove where each file lies.
    --allow-hard-links
        Also read files with several names (hard links) where others than the
        file's owner and root can write the directory, and so may have made
        the name. Refused by default.
    --max-file-size BYTES
        Refuse larger files. Without it the agent warns at its start.

    Where files may go:

    --allow-storage ORIGIN
        Upload only to this origin, such as
        https://my-bucket.s3.eu-central-1.amazonaws.com. May be repeated.
        Without it: any https origin on a public address. A store in a
        private network, or by plain http, has to be named.

    How fast:

    --max-rate RATE
        Of all uploads together, in bytes per second: 250000, 512k or 2M (k is
        1024), at least 1024. Or a timetable by this machine's clock:
        '08:00,512k 19:00,off', or 'Mon-08:00,512k Fri-19:00,off'; each
        entry holds until the next one. The reading of each file for
        checksums keeps to it too, beyond 64 MiB or its first parts. A second
        reading, where one is needed, does not.
    --max-uploads N
        Uploads at once, 1 to 64; 2 by default.
    --parallel-parts N
        At most so many PUTs at once, of all uploads together, 1 to 64; 8 by
        default. How many there are below that follows the line: one at first,
        more as parts turn out to be quick, fewer on a line that is slow or
        breaks often.
    --no-sha256
        Leave out the SHA-256 of the whole file. Parts are still checksummed.

    What it tells, on standard error:

    --log-level LEVEL
        debug, info (default), warn, error or silent.
    --log-format FORMAT
        human (default on a terminal) or json (default elsewhere). Under
        systemd each line begins with its priority for the journal.

    --version
        Print the version.
    -h, --help
        Print this.

ENVIRONMENT
    BACKHAUL_URL
        The server's address, without --server-url.
    BACKHAUL_TOKEN
        The token, without --token and --token-file.
    STATE_DIRECTORY
        The state directory, without --state-directory. systemd sets it.
    HTTPS_PROXY, NO_PROXY
        Honoured for wss:// and https://. NO_PROXY takes names, addresses and
        ranges (10.0.0.0/8), separated by commas or spaces.
    NODE_EXTRA_CA_CERTS
        Like --ca-file, but read at the start only.

EXIT STATUS
    0   stopped by SIGTERM or SIGINT
    1   unexpected fault, or a second signal
    2   a mistake in flags or environment, which the message names; also a
        Linux without a working /proc

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
