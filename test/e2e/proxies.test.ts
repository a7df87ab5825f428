import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { ForwardProxy } from '../faults/injection/forward-proxy.ts';
import { logged, Program } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { TestAuthority } from '../harness/test-authority.ts';

describe('behind a proxy with a password and a private authority', { timeout: 120_000 }, () => {
  let stage: Stage;
  let proxy: ForwardProxy;
  let authority: TestAuthority;
  /** URL that only the proxy can resolve. */
  let serverUrl: URL;
  const credentials = { user: 'till', password: 'p@ss' };

  before(async () => {
    stage = await Stage.start();
    proxy = await ForwardProxy.start({ credentials });
    authority = await TestAuthority.make(stage.directory);
    const { certFile, keyFile } = await authority.issue('server', '/CN=x', { altName: 'DNS:backhaul.test' });
    const store = new URL(stage.s3.endpoint);
    await stage.restartServer({
      env: {
        TLS_CERT_FILE: certFile,
        TLS_KEY_FILE: keyFile,
        S3_ENDPOINT: `http://store.test:${store.port}`,
        S3_PUBLIC_ENDPOINT: stage.s3.endpoint,
        HTTP_PROXY: proxy.url('till:p%40ss'),
        NO_PROXY: '10.0.0.0/8 other.example.com',
      },
    });
    serverUrl = new URL(stage.url);
    serverUrl.hostname = 'backhaul.test';
  });
  after(async () => {
    await stage[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });

  test('server, agent and command line pull a file through it', async () => {
    const file = stage.directory.join('report.txt');
    await writeFile(file, 'of a till behind a proxy');
    await using agent = new Program('backhaul-agent', {
      args: [
        ...['--client-id', 'till-7', '--server-url', serverUrl.href.replace('https', 'wss'), '--file', file],
        ...['--ca-file', authority.certFile, '--allow-storage', stage.s3.endpoint, '--log-format', 'json'],
      ],
      env: { BACKHAUL_TOKEN: await stage.tokens.agent('till-7'), HTTPS_PROXY: proxy.url('till:p%40ss') },
      cwd: stage.directory.path,
    });
    await agent.line(logged('connected'));
    const output = stage.directory.join('copy.txt');
    const { code, stderr } = await cli(['download', '--client-id', 'till-7', '--output', output]);
    assert.equal(code, 0, stderr);
    const asked = (what: RegExp): boolean => proxy.requests.some((request) => what.test(request));
    assert.ok(asked(/^CONNECT backhaul\.test:/), 'agent and command line');
    assert.ok(asked(/^(PUT|POST|HEAD|GET) http:\/\/store\.test:/), 'server');
  });

  test('doctor shows which proxy is used for what, without its password', async () => {
    const { stdout } = await cli(['doctor']);
    const shown = proxy.url();
    assert.match(stdout, new RegExp(`proxy: https://backhaul\\.test:\\d+ is reached through ${shown}`));
    assert.match(
      stdout,
      new RegExp(`proxy_object_store: .*store\\.test:\\d+: through ${shown} \\(HTTP_PROXY\\)`),
    );
    assert.doesNotMatch(stdout, /p@ss|p%40ss/);
  });

  test('a wrong password is named, with the setting, and tried again slowly', async () => {
    const refused = proxy.refusals;
    await using agent = new Program('backhaul-agent', {
      args: [
        ...[
          '--client-id',
          'till-7',
          '--server-url',
          serverUrl.href.replace('https', 'wss'),
          '--allow',
          '/srv',
        ],
        ...['--ca-file', authority.certFile, '--log-format', 'json'],
      ],
      env: { BACKHAUL_TOKEN: await stage.tokens.agent('till-7'), HTTPS_PROXY: proxy.url('till:wrong') },
      cwd: stage.directory.path,
    });
    const line = await agent.line((text) =>
      text.includes('asks for a user name and password')
        ? (JSON.parse(text) as Record<string, unknown>)
        : undefined,
    );
    assert.match(String(line['detail']), /HTTPS_PROXY=http:\/\/USER:PASSWORD@HOST:PORT/);
    assert.ok(Number(line['next_try_in_ms']) >= 30_000, String(line['next_try_in_ms']));
    assert.equal(proxy.refusals, refused + 1);
    const answer = await cli(['status', 'till-7'], proxy.url());
    assert.equal(answer.code, 5);
    assert.match(answer.stderr, /asks for a user name and password.*HTTPS_PROXY=/);
  });

  async function cli(args: readonly string[], through = proxy.url('till:p%40ss')) {
    const env = { BACKHAUL_URL: serverUrl.href, HTTPS_PROXY: through };
    await using program = stage.startCli([...args, '--ca-file', authority.certFile], env);
    return await program.exit;
  }
});
