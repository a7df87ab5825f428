/**
 * Loaded into an agent before its own code (`node --import`): records every address of a connection attempt, and
 * resolves names from a table instead of the network.
 */
import { appendFileSync } from 'node:fs';
import dns from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';

const file = process.env['TRAP_FILE'] ?? '';
const names = JSON.parse(process.env['TRAP_NAMES'] ?? '{}') as Record<string, string[]>;

// oxlint-disable-next-line typescript/unbound-method -- applied to each socket below
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function trapped(this: net.Socket, ...args: unknown[]): net.Socket {
  this.on('connectionAttempt', (address: string, port: number) => {
    appendFileSync(file, `${address} ${port}\n`);
  });
  return Reflect.apply(connect, this, args) as net.Socket;
};

type Answer = (error: Error | null, addresses: string | dns.LookupAddress[], family?: number) => void;

const lookup = (hostname: string, options: dns.LookupOptions, callback: Answer): void => {
  const addresses = (names[hostname] ?? []).map((address) => ({ address, family: net.isIP(address) }));
  const [first] = addresses;
  if (first === undefined) {
    callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), '');
  } else if (options.all === true) callback(null, addresses);
  else callback(null, first.address, first.family);
};
Object.assign(dns, { lookup });
syncBuiltinESMExports();
