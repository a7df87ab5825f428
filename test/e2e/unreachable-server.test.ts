import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Program } from '../harness/program.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../harness/temporary-directory.ts';
import { TestAuthority } from '../harness/test-authority.ts';

interface Cause {
  readonly name: string;
  readonly url: () => string;
  readonly env?: () => Readonly<Record<string, string>>;
  readonly sentence: RegExp;
  /** An operator has to fix it: the agent does not retry within seconds. */
  readonly lasting: boolean;
}

const TOKEN = `e30.${Buffer.from('{"sub":"till-7"}').toString('base64url')}.c2ln`;

describe(
  'a server that cannot be reached is explained alike by agent, command line and doctor:',
  {
    concurrency: 2,
    timeout: 180_000,
  },
  () => {
    let directory: TemporaryDirectory;
    const open: (http.Server | ReturnType<typeof createServer>)[] = [];
    const ports: Record<string, number> = {};

    before(async () => {
      directory = await temporaryDirectory();
      const authority = await TestAuthority.make(directory);
      const pair = async (name: string, altName: string) => {
        const { certFile, keyFile } = await authority.issue(name, '/CN=x', { altName });
        return { cert: readFileSync(certFile), key: readFileSync(keyFile) };
      };
      const own = https.createServer(await pair('own', 'DNS:localhost,IP:127.0.0.1'));
      const other = https.createServer(await pair('other', 'DNS:other.example.com'));
      const refusing = http.createServer();
      refusing.on('connect', (_request, socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'));
      const closed = createServer();
      for (const [name, server] of Object.entries({
        own,
        other,
        plain: http.createServer(),
        refusing,
        closed,
      })) {
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        ports[name] = (server.address() as AddressInfo).port;
        if (server !== closed) open.push(server);
      }
      // The port is closed now.
      closed.close();
      await once(closed, 'close');
    });
    after(async () => {
      for (const server of open) server.close();
      await directory[Symbol.asyncDispose]();
    });

    const causes: readonly Cause[] = [
      {
        name: 'a private authority',
        url: () => `https://127.0.0.1:${ports['own']}`,
        sentence: /not trusted, such as a private one.*--ca-file or NODE_EXTRA_CA_CERTS/,
        lasting: true,
      },
      {
        name: 'a certificate for another name',
        url: () => `https://127.0.0.1:${ports['other']}`,
        env: () => ({ NODE_EXTRA_CA_CERTS: directory.join('ca.crt') }),
        sentence: /is for another name \(it is for DNS:other\.example\.com\)/,
        lasting: true,
      },
      {
        name: 'a port without TLS',
        url: () => `https://127.0.0.1:${ports['plain']}`,
        sentence: /does not speak TLS/,
        lasting: true,
      },
      {
        name: 'a port that nothing listens at',
        url: () => `http://127.0.0.1:${ports['closed']}`,
        sentence: /nothing listens at 127\.0\.0\.1:\d+: check (--server-url|--url or BACKHAUL_URL)/i,
        lasting: false,
      },
      {
        name: 'an unknown host',
        url: () => 'https://backhaul.invalid',
        // The sentence depends on whether DNS is reachable.
        sentence: /DNS (has no address for backhaul\.invalid|does not answer, so backhaul\.invalid)/,
        lasting: false,
      },
      {
        name: 'a proxy that is down',
        url: () => 'https://backhaul.invalid',
        env: () => ({ HTTPS_PROXY: `http://127.0.0.1:${ports['closed']}` }),
        sentence: /the proxy http:\/\/127\.0\.0\.1:\d+ cannot be reached.*check HTTPS_PROXY/i,
        lasting: false,
      },
      {
        name: 'a proxy that refuses',
        url: () => 'https://backhaul.invalid',
        env: () => ({ HTTPS_PROXY: `http://127.0.0.1:${ports['refusing']}` }),
        sentence: /refuses to connect to backhaul\.invalid:443 \(403\).*NO_PROXY/,
        lasting: true,
      },
    ];

    for (const { name, url, env, sentence, lasting } of causes) {
      test(name, async () => {
        const place = {
          env: {
            BACKHAUL_URL: url(),
            BACKHAUL_TOKEN: TOKEN,
            ...env?.(),
          },
          cwd: directory.path,
        };
        await using agent = new Program('backhaul-agent', {
          args: ['--client-id', 'till-7', '--allow', '/srv', '--log-format', 'json'],
          ...place,
        });
        const line = await agent.line((text) =>
          text.includes('cannot be reached') ? (JSON.parse(text) as Record<string, unknown>) : undefined,
        );
        assert.match(String(line['detail']), sentence);
        assert.equal(Number(line['next_try_in_ms']) >= 30_000, lasting, String(line['next_try_in_ms']));
        for (const command of [['status', 'till-7'], ['doctor']]) {
          await using program = new Program('backhaul', { args: command, ...place });
          const { stdout, stderr, code } = await program.exit;
          assert.match(stdout + stderr, sentence, command.join(' '));
          assert.equal(code, 5, command.join(' '));
        }
      });
    }
  },
);
