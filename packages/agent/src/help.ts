export const HELP = `backhaul-agent keeps one outbound connection to a Backhaul server and uploads the files it is asked for,
from what you allow it to read and from nowhere else.

Usage:
  backhaul-agent --client-id ID [--file PATH] [--allow DIR]… --server-url URL [--token-file FILE]

Who and where:
  --client-id ID          this machine's name; the server takes it from the token, so they must agree
  --server-url URL        ws://localhost:8080, wss://backhaul.example.com        (env BACKHAUL_URL)
  --token-file FILE       file with the agent's token; read again at each connection, so it can be replaced
  --token TOKEN           the token itself. Anyone on this machine can see it in \`ps\`: prefer --token-file
                          or the environment variable                            (env BACKHAUL_TOKEN)
  --insecure              allow ws:// to another machine: the token and all messages travel in the clear
  --label KEY=VALUE       a label to find this machine by; may be repeated

What may be read (nothing else is, whatever the server asks):
  --file PATH             the file that is uploaded when the server names none
  --allow DIR             files below this directory too; may be repeated
  --max-file-size BYTES   refuse larger files

Where files may go:
  --allow-storage ORIGIN  upload only to this origin, e.g. https://my-bucket.s3.eu-central-1.amazonaws.com;
                          may be repeated. Without it: any https origin outside this machine

How fast:
  --max-rate BYTES_PER_SECOND   of all uploads together
  --max-uploads N               uploads at once (default 2)
  --parallel-parts N            connections per upload (default 4)
  --no-sha256                   leave out the SHA-256 of the whole file (parts are still checksummed)

  --log-level LEVEL       debug, info, warn, error, silent (default info)
  --log-format FORMAT     human, json (default: human on a terminal, else json)
  --version, --help

With neither --token, --token-file nor BACKHAUL_TOKEN, the agent looks for .backhaul/dev.json in the working
directory, which \`backhaul-server --dev\` leaves there, and uses its address and secret.
HTTPS_PROXY and NO_PROXY are honoured for wss:// and https://; NODE_EXTRA_CA_CERTS for a private authority.

Examples:
  backhaul-agent --client-id restaurant-1 --file /data/report.bin --server-url ws://localhost:8080
  backhaul-agent --client-id lab-7 --allow /srv/results --server-url wss://backhaul.example.com \\
    --token-file /etc/backhaul/token --allow-storage https://results.s3.eu-central-1.amazonaws.com
  backhaul-agent --client-id till-3 --file /var/lib/till/day.db --max-rate 500000 --label site=berlin \\
    --server-url wss://backhaul.example.com --token-file /etc/backhaul/token
`;
