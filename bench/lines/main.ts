/**
 * Sends files over bad links, and prints each result next to the best possible one. Exits with 1 if a result misses its
 * limits.
 *
 *     npm run lines
 *     npm run lines -- --only slow --only reset-5s
 *     npm run lines -- --peers --at-once 4
 */
import { parseArgs } from 'node:util';
import { buildPrograms } from '../../test/harness/build-programs.ts';
import { lines } from './line.ts';
import { findPeers, sendByPeer } from './peers.ts';
import { Report } from './report.ts';
import { pullOver } from './send-over.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    /** Also run the AWS CLI and rclone with their defaults, if installed. */
    peers: { type: 'boolean', default: false },
    /** Number of concurrent scenarios: they mostly wait. */
    'at-once': { type: 'string', default: '1' },
  },
});
const unknown = values.only.filter((name) => !lines.some((line) => line.name === name));
if (unknown.length > 0) {
  const known = lines.map(({ name }) => name).join(', ');
  process.stderr.write(`There is no line ${unknown.join(', ')}. Lines: ${known}.\n`);
  process.exit(2);
}

const { signal } = new AbortController();
await buildPrograms({ signal });
const peers = values.peers ? await findPeers({ signal }) : [];
const wanted = lines.filter(({ name }) => values.only.length === 0 || values.only.includes(name));
const report = new Report(wanted, peers);
const trials = wanted.flatMap((line) => [
  async () => report.own(line, await pullOver(line, { compiled: true })),
  ...peers.map((peer) => async () => {
    report.peer(line, peer, await sendByPeer(line, peer, { deadlineMs: report.patienceMs(line) }));
  }),
]);
await Promise.all(
  Array.from({ length: Number(values['at-once']) }, async () => {
    for (let trial = trials.shift(); trial !== undefined; trial = trials.shift()) await trial();
  }),
);
process.stdout.write(`${report.table()}\n`);
const complaints = report.complaints();
for (const complaint of complaints) process.stderr.write(`${complaint}\n`);
if (complaints.length > 0) process.exitCode = 1;
