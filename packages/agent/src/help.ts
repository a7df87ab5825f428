/** Output of `--help`: a manual page for 80 columns. */
export const HELP = `NAME
    backhaul-agent - upload files from this machine on request of a server

SYNOPSIS
    backhaul-agent --client-id ID [--file PATH]... [--allow DIR]...
        --server-url URL [--token-file FILE] [option]...

DESCRIPTION
    Keeps one outbound connection to a Backhaul server and uploads the files
    that the server requests. It reads only what --file and --allow permit.
    With neither, it reads nothing, whatever the server requests.

    It runs until SIGTERM or SIGINT; a second signal stops it immediately. A
    lost connection is reopened, and running uploads continue meanwhile. On
    SIGHUP it reloads the files of --ca-file.

OPTIONS
    Identity and connection:

    --client-id ID
        This machine's name. The server takes the name from the token, so the
        two must be equal.
    --server-url URL
        ws://localhost:8080 or wss://backhaul.example.com.
    --token-file FILE
        File with the agent's token. It is read at each connection, so it can
        be replaced without a restart.
    --state-directory DIR
        Directory of the agent's own, in which it stores the token renewed by
        the server. Files in it are never uploaded. Without it, the token is
        not renewed. The agent uses the newer of this token and the one of
        --token-file.
    --token TOKEN
        The token itself. Anyone on this machine can see it in \`ps\`: prefer
        --token-file or BACKHAUL_TOKEN.
    --ca-file FILE
        CA certificates (PEM) to trust in addition to those of the system, for
        example of a private CA or of a proxy that inspects TLS. May be
        repeated. A changed file is reloaded while the agent runs.
    --client-cert FILE
    --client-key FILE
        Client certificate (PEM) and its key, for a server that requires one
        (TLS_CLIENT_CA_FILE). Both are read at each connection.
    --insecure
        Allow ws:// to another machine: the token and all messages are sent
        unencrypted.
    --label KEY=VALUE
        Label to select this machine by. May be repeated.

    Read access:

    --file PATH
        Allow reading this file. The first one is uploaded when a request
        names no file. May be repeated.
    --allow DIR
        Allow reading all files below this directory. May be repeated.
    --roots-are-private
        Confirms that only you and accounts you trust can write below the
        directories of --allow and --file. Required on Windows and on Unix
        systems other than Linux and macOS: there, an account that replaces a
        directory with a link at the right moment could make the agent read
        other files, and the agent cannot detect it. Linux and macOS refuse
        the flag, because they prove where each file is.
    --allow-hard-links
        Also read files with several names (hard links) in directories that
        accounts other than the file's owner and root can write, because such
        an account may have created the name. Refused by default.
    --max-file-size BYTES
        Refuse larger files. Without it, the agent logs a warning at startup.

    Storage:

    --allow-storage ORIGIN
        Upload only to this origin, such as
        https://my-bucket.s3.eu-central-1.amazonaws.com. May be repeated.
        Default: any https origin on a public address. A store that uses
        plain http or is in a private network must be named here.

    Limits:

    --max-rate RATE
        Upload limit in bytes per second for all uploads together: 250000,
        512k or 2M (k is 1024), at least 1024. Or a timetable by this
        machine's clock: '08:00,512k 19:00,off', or
        'Mon-08:00,512k Fri-19:00,off'; each entry applies until the next one.
        Beyond 64 MiB or its first parts, each file is also read for checksums
        at this rate. A second reading, where one is needed, is not limited.
    --max-uploads N
        Uploads at the same time, 1 to 64. Default: 2.
    --parallel-parts N
        Maximum number of PUT requests at the same time, for all uploads
        together, 1 to 64. Default: 8. Below that, the agent adapts to the
        network: it starts with one, adds more while parts are fast, and
        reduces them if the network is slow or unreliable.
    --no-sha256
        Skip the SHA-256 of the whole file. Parts are still checksummed.

    Logging, on standard error:

    --log-level LEVEL
        debug, info (default), warn, error or silent.
    --log-format FORMAT
        human (default on a terminal) or json (default otherwise). Under
        systemd each line starts with its priority for the journal.

    --version
        Print the version.
    -h, --help
        Print this help.

ENVIRONMENT
    BACKHAUL_URL
        Server address, used without --server-url.
    BACKHAUL_TOKEN
        Token, used without --token and --token-file.
    STATE_DIRECTORY
        State directory, used without --state-directory. Set by systemd.
    HTTPS_PROXY, NO_PROXY
        Used for wss:// and https://. NO_PROXY takes names, addresses and
        ranges (10.0.0.0/8), separated by commas or spaces.
    NODE_EXTRA_CA_CERTS
        Like --ca-file, but read only at startup.

EXIT STATUS
    0   stopped by SIGTERM or SIGINT
    1   unexpected error, or a second signal
    2   invalid flag or environment variable, named in the message; or Linux
        without a working /proc

FILES
    .backhaul/dev.json
        Written by \`backhaul-server --dev\` in its working directory. Without
        --token, --token-file and BACKHAUL_TOKEN, the agent uses the address
        and secret from this file in its own working directory.

EXAMPLES
    In the directory where \`backhaul-server --dev\` runs:

    backhaul-agent --client-id restaurant-1 --file /data/report.bin \\
        --server-url ws://localhost:8080

    All files below a directory, uploaded to one bucket only:

    backhaul-agent --client-id lab-7 --allow /srv/results \\
        --server-url wss://backhaul.example.com \\
        --token-file /etc/backhaul/token \\
        --allow-storage https://results.s3.eu-central-1.amazonaws.com

    Half a megabyte per second, and a label:

    backhaul-agent --client-id till-3 --file /var/lib/till/day.db \\
        --max-rate 500000 --label site=berlin \\
        --server-url wss://backhaul.example.com --token-file /etc/backhaul/token
`;
