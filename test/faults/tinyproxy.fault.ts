import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { after, before, describe, test } from 'node:test';
import {
  documentedNginx,
  freePort,
  type RealProxy,
  startNginx,
  startTinyproxy,
} from './injection/real-proxies.ts';
import { logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { TestAuthority } from '../harness/test-authority.ts';

/** A local hostname that, unlike `localhost`, is not exempt from proxies. */
const NAME = hostname();

describe(
  'through tinyproxy with a password, to nginx with a certificate of a private authority',
  { timeout: 120_000 },
  () => {
    let stage: Stage;
    let nginx: RealProxy | undefined;
    let tinyproxy: RealProxy | undefined;
    let authority: TestAuthority;

    before(async () => {
      stage = await Stage.start({ env: { TRUSTED_PROXIES: '127.0.0.1' } });
      authority = await TestAuthority.make(stage.directory);
      const tls = await authority.issue('nginx', '/CN=x', { altName: `DNS:${NAME}` });
      const port = await freePort();
      const config = await documentedNginx({ port, server: new URL(stage.url).host, tls });
      nginx = await startNginx(stage.directory.path, port, config.replace(`127.0.0.1:${port}`, `${port}`));
      tinyproxy = await startTinyproxy(stage.directory.path, { user: 'till', password: 'secret' });
    });
    after(async () => {
      await tinyproxy?.[Symbol.asyncDispose]();
      await nginx?.[Symbol.asyncDispose]();
      await stage[Symbol.asyncDispose]();
    });

    test('a file is pulled and fetched', async () => {
      const file = stage.directory.join('report.txt');
      await writeFile(file, 'through two proxies');
      await using agent = await startAgent('till:secret', file);
      await agent.line(logged('connected'));
      const output = stage.directory.join('copy.txt');
      await using program = stage.startCli(
        ['download', 'till-7', '--output', output, '--ca-file', authority.certFile],
        { BACKHAUL_URL: url(), HTTPS_PROXY: proxy('till:secret') },
      );
      const { code, stderr } = await program.exit;
      assert.equal(code, 0, stderr);
    });

    test('a wrong password and a missing authority are named', async () => {
      await using refused = await startAgent('till:wrong', '/srv');
      await refused.line((line) => (line.includes('asks for a user name and password') ? line : undefined));
      await using program = stage.startCli(['doctor'], {
        BACKHAUL_URL: url(),
        HTTPS_PROXY: proxy('till:secret'),
      });
      const { stdout } = await program.exit;
      assert.match(stdout, /not trusted.*--ca-file/);
    });

    const url = () => `https://${NAME}:${nginx?.port}`;
    const proxy = (userInfo: string) => `http://${userInfo}@127.0.0.1:${tinyproxy?.port}`;

    async function startAgent(userInfo: string, file: string) {
      const args = ['--client-id', 'till-7', '--server-url', url(), '--file', file];
      return stage.spawnAgent({
        args: [
          ...args,
          '--ca-file',
          authority.certFile,
          '--allow-storage',
          stage.s3.endpoint,
          '--log-format',
          'json',
        ],
        env: { BACKHAUL_TOKEN: await stage.tokens.agent('till-7'), HTTPS_PROXY: proxy(userInfo) },
      });
    }
  },
);
