import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackhaulClient } from '@backhaul/client';
import { documentedNginx, freePort, type RealProxy, startNginx } from './injection/real-proxies.ts';
import { logged, Program } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';

/** Shortened from the server's 50 and nginx's 60 seconds. */
const WAIT_SECONDS = 2;
const READ_TIMEOUT_SECONDS = 4;
/** Source address of nginx; all others connect from 127.0.0.1. */
const NGINX_ADDRESS = '127.0.0.2';

describe('behind nginx', { timeout: 120_000 }, () => {
  let stage: Stage;
  let nginx: RealProxy | undefined;
  /** Default configuration with only proxy_pass. */
  let plain: string;
  /** Configured by deploy/nginx/backhaul.conf. */
  let advised: string;

  before(async () => {
    stage = await Stage.start({
      env: { TRUSTED_PROXIES: NGINX_ADDRESS, PROXY_WAIT_SECONDS: String(WAIT_SECONDS) },
    });
    const [plainPort, advisedPort] = [await freePort(), await freePort()];
    plain = `http://127.0.0.1:${plainPort}`;
    advised = `http://127.0.0.1:${advisedPort}`;
    const { host: server } = new URL(stage.url);
    const servers = [
      `proxy_read_timeout ${READ_TIMEOUT_SECONDS}s;`,
      `proxy_bind ${NGINX_ADDRESS};`,
      `server { listen 127.0.0.1:${plainPort}; location / { proxy_pass http://${server}; } }`,
      await documentedNginx({ port: advisedPort, server }),
    ];
    nginx = await startNginx(stage.directory.path, plainPort, servers.join('\n'));
  });
  after(async () => {
    await nginx?.[Symbol.asyncDispose]();
    await stage[Symbol.asyncDispose]();
  });

  test('a trigger that waits longer than nginx does is answered before nginx gives up', async () => {
    await using agent = await stage.startAgent('till-7', ['--allow', stage.directory.path]);
    await agent.stop();
    const body = JSON.stringify({ file_path: stage.directory.join('never.bin') });
    const headers = {
      authorization: `Bearer ${stage.operatorToken}`,
      'content-type': 'application/json',
      prefer: 'wait=60',
    };
    const answer = await fetch(`${plain}/trigger-download/till-7`, { method: 'POST', headers, body });
    assert.equal(answer.status, 202);
    assert.equal(answer.headers.get('preference-applied'), `wait=${WAIT_SECONDS}`);
    assert.match(answer.headers.get('location') ?? '', /^\/uploads\//);
  });

  test('the client library asks again, and has its record when the upload has ended', async () => {
    const file = stage.directory.join('late.txt');
    await writeFile(file, 'of an agent that comes late');
    const client = new BackhaulClient({ url: plain, token: stage.operatorToken });
    const pulled = client.triggerDownload('till-7', { file_path: file }, { waitSeconds: 60 });
    // This wait exceeds nginx's timeout for one response.
    await sleep((READ_TIMEOUT_SECONDS + 1) * 1000);
    await using agent = await stage.startAgent('till-7', ['--allow', stage.directory.path]);
    assert.equal((await pulled).status, 'completed');
    await agent.stop();
  });

  test('an agent through nginx without the upgrade says what nginx lacks', async () => {
    await using agent = await startAgent(plain);
    await agent.line((line) => (line.includes('proxy_set_header Upgrade $http_upgrade') ? line : undefined));
  });

  test('by the documented configuration an agent is connected, and its own address is known', async () => {
    await using agent = await startAgent(advised);
    await agent.line(logged('connected'));
    const client = new BackhaulClient({ url: advised, token: stage.operatorToken });
    const status = await client.getStatus('till-7');
    assert.deepEqual([status.connected, status.remote_address], [true, '127.0.0.1']);
    const events: string[] = [];
    for await (const { upload_id: id } of client.followUpload(status.last_upload?.upload_id ?? ''))
      events.push(id);
    assert.notEqual(events.length, 0, 'event streams pass');
  });

  async function startAgent(url: string): Promise<Program> {
    return new Program('backhaul-agent', {
      args: [
        ...['--client-id', 'till-7', '--server-url', url.replace('http', 'ws')],
        ...['--allow', stage.directory.path, '--log-format', 'json'],
      ],
      env: { BACKHAUL_TOKEN: await stage.tokens.agent('till-7') },
      cwd: stage.directory.path,
    });
  }
});
