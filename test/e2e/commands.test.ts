import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { type CommandAnswer, type DirectoryListing, commandAnswerSchema } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { Stage } from '../harness/stage.ts';

describe('commands', () => {
  let stage: Stage;
  let allowed: string;
  before(async () => {
    // This level logs a request before its response.
    stage = await Stage.start({ env: { LOG_LEVEL: 'debug' } });
    allowed = stage.directory.join('allowed');
    await mkdir(`${allowed}/inner`, { recursive: true });
    await writeFile(`${allowed}/b.txt`, '12345');
    await writeFile(`${allowed}/ä\n.txt`, '');
    await writeFile(stage.directory.join('outside.txt'), 'x');
    await symlink('/etc', `${allowed}/link`);
    await stage.startAgent('till', ['--allow', allowed, '--max-uploads', '3', '--max-rate', '1000000']);
    const away = await stage.startAgent('away', []);
    await away.stop();
  });
  after(() => stage[Symbol.asyncDispose]());

  test('health_check tells how the agent is and what it may', async () => {
    for (const body of [undefined, '{}']) {
      const { result } = await answerOf(await command('till', 'health_check', body));
      assert.ok('rss_bytes' in result);
      assert.equal(result.active_uploads, 0);
      assert.equal(result.max_uploads, 3);
      assert.equal(result.max_rate_bytes_per_second, 1_000_000);
      assert.deepEqual(result.allowed, [allowed]);
      assert.ok(result.uptime_ms > 0 && result.rss_bytes > 1_000_000);
    }
  });

  test('list_directory names what is there, without following links', async () => {
    const { entries, truncated, path } = await listing(allowed);
    assert.equal(path, allowed);
    assert.equal(truncated, false);
    assert.deepEqual(
      entries.map(({ name, type, size }) => [name, type, size]),
      [
        ['b.txt', 'file', 5],
        ['inner', 'directory', null],
        ['link', 'symlink', null],
        ['ä\n.txt', 'file', 0],
      ],
    );
    assert.deepEqual((await listing(`${allowed}/inner/`)).entries, []);
  });

  test('list_directory stays inside the allow-list, and says no in the same words for what does not exist', async () => {
    const details = new Set<string>();
    const paths = [
      stage.directory.path,
      '/nosuch',
      `${allowed}/..`,
      `${allowed}/link`,
      `${allowed}/link/ssh`,
    ];
    for (const path of paths) {
      const problem = await assertProblem(await list(path), 403, 'path_not_allowed');
      if (!path.endsWith('/link')) details.add(problem.detail.replace(JSON.stringify(path), 'PATH'));
    }
    assert.equal(details.size, 1, [...details].join('\n'));
  });

  test('list_directory of a file, or of nothing, says so', async () => {
    await assertProblem(await list(`${allowed}/b.txt`), 422, 'not_a_directory');
    await assertProblem(await list(`${allowed}/nosuch`), 404, 'file_not_found');
    await assertProblem(await list('relative'), 422, 'invalid_path');
  });

  test('for an agent that is away are refused at once; for one that never was, too', async () => {
    await assertProblem(await command('away', 'health_check'), 409, 'client_offline');
    await assertProblem(await command('nobody', 'health_check'), 404, 'client_not_found');
  });

  test('that do not exist are 404, and those that do are named', async () => {
    const problem = await assertProblem(await command('till', 'reboot'), 404, 'unknown_command');
    assert.match(problem.detail, /health_check, list_directory/);
    await assertProblem(await command('till', 'toString'), 404, 'unknown_command');
  });

  test('with wrong parameters are 400, and the parameter is named', async () => {
    const mistakes: [name: string, body: string, named: RegExp][] = [
      ['list_directory', '{}', /path/],
      ['list_directory', '{"path": 1}', /path/],
      ['list_directory', '{"path": "/a", "recursive": true}', /recursive/],
      ['health_check', '{"verbose": true}', /verbose/],
      ['health_check', '[]', /body/],
    ];
    for (const [name, body, named] of mistakes) {
      const problem = await assertProblem(await command('till', name, body), 400, 'invalid_request');
      assert.match(problem.detail, named, body);
    }
  });

  test('fail at once when the agent goes away meanwhile', async () => {
    const agent = await stage.startAgent('leaving', ['--allow', allowed]);
    // A stopped process keeps its socket but does not respond.
    agent.kill('SIGSTOP');
    const answer = command('leaving', 'health_check');
    await stage.server.line((line) => (line.includes('/clients/leaving/commands') ? true : undefined));
    agent.kill('SIGKILL');
    await assertProblem(await answer, 409, 'client_offline');
  });

  function command(clientId: string, name: string, body?: string): Promise<Response> {
    return stage.fetch(`/clients/${clientId}/commands/${name}`, {
      method: 'POST',
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    });
  }

  function list(path: string): Promise<Response> {
    return command('till', 'list_directory', JSON.stringify({ path }));
  }

  async function listing(path: string): Promise<DirectoryListing> {
    const { result } = await answerOf(await list(path));
    assert.ok('entries' in result);
    return result;
  }
});

async function answerOf(answer: Response): Promise<CommandAnswer> {
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return commandAnswerSchema.parse(JSON.parse(text));
}
