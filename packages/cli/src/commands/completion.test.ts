import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { ClientSummary } from '@backhaul/protocol';
import { type AnyCommand, type CommandGroup, optionsOf } from '../command.ts';
import { isInstalled, offers, shellNames } from '../../../../test/harness/cli/completing-shell.ts';
import { FakeBackhaul, sendJson } from '../../../../test/doubles/fake-backhaul.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import { UPLOAD_ID, uploadRecord } from '../../../../test/harness/upload-record.ts';
import { commands } from './index.ts';

/** A line whose last word is completed, and the completions expected from the command table. */
type Case = readonly [line: readonly string[], offered: readonly string[]];

const shellEnv = { PATH: process.env['PATH'] ?? '' };

const globalFlags = ['--url', '--token', '--insecure', '--ca-file', '--json', '--help'];
const names = (entries: readonly { readonly name: string }[]): string[] => entries.map(({ name }) => name);

/** Every command, flag and choice of the table. */
const cases: Case[] = [
  [['backhaul', ''], names(commands)],
  [
    ['backhaul', '--'],
    [...globalFlags, '--version'],
  ],
  [['backhaul', 'do'], ['download', 'doctor'].toSorted()],
  [
    ['backhaul', '--url', 'http://a', '--json', 'token', ''],
    ['agent', 'operator'],
  ],
  [['backhaul', 'token', '--token', 'download', 'a'], ['agent']],
  [['backhaul', 'uploads', '--status', 'f'], ['failed']],
  [
    ['backhaul', 'token', 'operator', '--scope', ''],
    ['read', 'content', 'trigger', 'metrics', 'audit', 'admin'],
  ],
  ...commands.flatMap((entry) => casesOf(['backhaul', entry.name], entry)),
];

function casesOf(path: readonly string[], entry: AnyCommand | CommandGroup): Case[] {
  if ('commands' in entry) {
    const inner = entry.commands.flatMap((command) => casesOf([...path, command.name], command));
    return [[[...path, ''], names(entry.commands)], [[...path, '--'], globalFlags], ...inner];
  }
  const options = optionsOf(entry);
  const [first] = entry.arguments ?? [];
  return [
    [
      [...path, '--'],
      [...options.map(({ long }) => long ?? ''), ...globalFlags],
    ],
    ...options.flatMap(({ long, argChoices }): Case[] =>
      long === undefined || argChoices === undefined ? [] : [[[...path, long, ''], argChoices]],
    ),
    ...(first?.argChoices === undefined ? [] : [[[...path, ''], first.argChoices] as const]),
  ];
}

describe('completion', () => {
  for (const shell of shellNames) {
    const skip = isInstalled(shell) ? false : `${shell} is not installed`;

    test(`in ${shell} offers every command, flag and choice of the table`, { skip }, async () => {
      const lines = cases.map(([line]) => line);
      const offered = await offers(shell, lines, { env: shellEnv });
      assert.equal(offered.length, cases.length);
      for (const [index, [line, expected]] of cases.entries()) {
        assert.deepEqual(offered[index]?.toSorted(), expected.toSorted(), line.join(' '));
      }
    });

    test(`in ${shell} offers machines, uploads and files, and nothing for free text`, { skip }, async () => {
      await using directory = await temporaryDirectory();
      await writeFile(path.join(directory.path, 'copy.bin'), '');
      await using server = await FakeBackhaul.start({
        'GET /clients': (response) =>
          sendJson(response, { clients: [client('lab-7'), client('till-3')], next_cursor: null }),
        'GET /uploads': (response) => sendJson(response, { uploads: [uploadRecord({})], next_cursor: null }),
      });
      const lines = [
        ['backhaul', 'status', ''],
        ['backhaul', 'download', '--client-id', 'la'],
        ['backhaul', 'ls', 'lab-7', ''],
        ['backhaul', 'cancel', ''],
        ['backhaul', 'download', '--output', 'co'],
        ['backhaul', 'download', '--reason', ''],
      ];
      const expected = [['lab-7', 'till-3'], ['lab-7'], [], [UPLOAD_ID], ['copy.bin'], []];
      const env = { ...shellEnv, ...server.env };
      assert.deepEqual(await offers(shell, lines, { env, cwd: directory.path }), expected);
    });
  }

  test(
    'in bash completes after the = between a flag and its value',
    { skip: !isInstalled('bash') },
    async () => {
      const line = ['backhaul', 'uploads', '--status', '='];
      const [all, started] = await offers('bash', [line, [...line, 'can']], { env: shellEnv });
      assert.ok(all?.includes('queued'));
      assert.deepEqual(started, ['cancelled']);
    },
  );

  test(
    'offers and prints nothing when the server is unreachable',
    { skip: !isInstalled('bash') },
    async () => {
      const env = { ...shellEnv, BACKHAUL_URL: 'http://127.0.0.1:1', BACKHAUL_TOKEN: 'none' };
      assert.deepEqual(await offers('bash', [['backhaul', 'status', '']], { env }), [[]]);
    },
  );
});

function client(id: string): ClientSummary {
  return {
    client_id: id,
    connected: true,
    connected_since: '2026-01-01T00:00:00.000Z',
    last_seen_at: '2026-01-01T00:00:00.000Z',
    agent_version: '0.1.0',
    platform: null,
    labels: {},
    default_file_path: null,
  };
}
