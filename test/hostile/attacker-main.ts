/**
 * A hostile agent in a separate process: sends costly frames, and sometimes a readable one, at the given rate, and
 * reconnects after each disconnect. Ends with its input, after printing its counts.
 *
 *     node attacker-main.ts URL TOKEN BYTES_PER_SECOND
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Budget } from '@backhaul/protocol';
import { WebSocket } from 'ws';
import { costlyFrames } from './costly-frames.ts';

const [url = '', token = '', rate = ''] = process.argv.slice(2);
const counts = { frames: 0, connections: 0, closedForAbuse: 0, keptAway: 0 };
const line = new Budget({ perSecond: Number(rate), burst: Number(rate) / 10 });
const hello = JSON.stringify({
  ...{ status: 'hello', agent_version: 'attacker', platform: { os: 'linux', arch: 'x64' } },
  limits: { max_uploads: 1, parallel_parts: 1 },
});
const readable = JSON.stringify({ status: 'error', code: 'x', message: 'y' });
const frames = [...costlyFrames().map(({ frame }) => frame), readable];

const over = new AbortController();
process.stdin.on('end', () => {
  over.abort();
});
process.stdin.resume();

while (!over.signal.aborted) {
  const socket = new WebSocket(`${url}/ws/connect`, ['backhaul.v1'], {
    headers: { authorization: `Bearer ${token}` },
    perMessageDeflate: false,
  });
  socket.on('error', () => {});
  socket.on('close', (code) => {
    if (code === 4003) counts.closedForAbuse += 1;
  });
  // Rejects when the server responds with a status instead.
  const isOpen = await once(socket, 'open').then(
    () => true,
    () => false,
  );
  if (isOpen) {
    counts.connections += 1;
    await attack(socket);
    socket.terminate();
  } else counts.keptAway += 1;
  await sleep(200);
}
process.stdout.write(`${JSON.stringify(counts)}\n`);
process.exit();

async function attack(socket: WebSocket): Promise<void> {
  socket.send(hello);
  for (let turn = 0; !over.signal.aborted && socket.readyState === WebSocket.OPEN; turn += 1) {
    const frame = frames[turn % frames.length] ?? readable;
    const debtMs = line.spend(frame.length);
    if (debtMs > 0) await sleep(debtMs);
    // Limits the send buffer; data that the server does not read stays with the sender.
    while (socket.bufferedAmount > 4_000_000 && !over.signal.aborted && socket.readyState === WebSocket.OPEN)
      await sleep(5);
    socket.send(frame);
    counts.frames += 1;
    if (turn % 16 === 15) await sleep(0);
  }
}
