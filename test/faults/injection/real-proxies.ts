import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The nginx configuration from docs/network.md. */
const documented = new URL('../../../deploy/nginx/backhaul.conf', import.meta.url);

/** A proxy from an operating system package, as a separate process. */
export interface RealProxy extends AsyncDisposable {
  readonly port: number;
}

/**
 * Starts nginx with `servers` as the only contents of its http block. A test must not pass because nginx is missing.
 *
 * @throws Error that names the package if nginx is not installed.
 */
export async function startNginx(directory: string, port: number, servers: string): Promise<RealProxy> {
  requireProgram('nginx', 'nginx-light');
  const prefix = join(directory, `nginx-${port}`);
  await mkdir(prefix);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const config = [
    'daemon off; master_process off; pid nginx.pid; error_log stderr;',
    'events {}',
    `http { access_log off; ${temporary.map((name) => `${name}_temp_path ${name};`).join(' ')}`,
    servers,
    '}',
  ];
  await writeFile(join(prefix, 'nginx.conf'), config.join('\n'));
  return await listening(spawn('nginx', ['-p', prefix, '-c', 'nginx.conf', '-e', 'stderr'], output), port);
}

/** Returns the documented conf.d file with the server's address, and TLS or plain HTTP on `port`. */
export async function documentedNginx(options: {
  readonly port: number;
  /** `HOST:PORT` */
  readonly server: string;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
}): Promise<string> {
  const { port, server, tls } = options;
  const text = await readFile(documented, 'utf8');
  const changed = text
    .replace('127.0.0.1:8080', server)
    .replace('listen 443 ssl;', `listen 127.0.0.1:${port}${tls === undefined ? '' : ' ssl'};`)
    .replace('/etc/backhaul/tls/server.crt', tls?.certFile ?? '')
    .replace('/etc/backhaul/tls/server.key', tls?.keyFile ?? '');
  if (!changed.includes(server) || !changed.includes(`listen 127.0.0.1:${port}`)) {
    throw new Error('deploy/nginx/backhaul.conf has other addresses than those that are replaced here');
  }
  return tls === undefined ? changed.replace(/^ *ssl_certificate.*\n/gm, '') : changed;
}

/** Starts tinyproxy, which requires a user name and a password. @throws Error like {@link startNginx}. */
export async function startTinyproxy(
  directory: string,
  { user, password }: { user: string; password: string },
): Promise<RealProxy> {
  requireProgram('tinyproxy', 'tinyproxy');
  const port = await freePort();
  const file = join(directory, 'tinyproxy.conf');
  const log = join(directory, 'tinyproxy.log');
  const lines = [`Port ${port}`, 'Listen 127.0.0.1', `LogFile "${log}"`, `BasicAuth ${user} ${password}`];
  await writeFile(file, `${lines.join('\n')}\n`);
  return await listening(spawn('tinyproxy', ['-d', '-c', file], output), port);
}

const output = { stdio: 'ignore' } as const;

function requireProgram(name: string, debianPackage: string): void {
  if (spawnSync(name, ['-v']).error === undefined) return;
  throw new Error(`this test needs ${name}: apt-get install ${debianPackage}`);
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function listening(child: ChildProcess, port: number): Promise<RealProxy> {
  const proxy: RealProxy = {
    port,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
  for (const deadline = performance.now() + 10_000; performance.now() < deadline;) {
    if (child.exitCode !== null) throw new Error(`the proxy ended with ${child.exitCode}`);
    if (await isOpen(port)) return proxy;
    await sleep(50);
  }
  await proxy[Symbol.asyncDispose]();
  throw new Error('the proxy does not listen');
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const opened = once(socket, 'connect').then(
    () => true,
    () => false,
  );
  try {
    return await opened;
  } finally {
    socket.destroy();
  }
}
