import { type Limits, type Line, limitsOf } from './line.ts';
import type { Peer, PeerOutcome } from './peers.ts';
import type { Pulled } from './send-over.ts';

const PART_BYTES = 5 * 1024 * 1024;
/** Documented memory limit of the agent. */
const MOST_RESIDENT_BYTES = 160 * 1024 * 1024;
/** A peer that exceeds our time limit by this factor is stopped. */
const PATIENCE = 2;

/** Renders the results as a Markdown table, with the limits that were missed. */
export class Report {
  readonly #lines: readonly Line[];
  readonly #peers: readonly Peer[];
  readonly #pulls = new Map<Line, Pulled>();
  readonly #sent = new Map<Line, Map<Peer, PeerOutcome>>();

  constructor(lines: readonly Line[], peers: readonly Peer[]) {
    this.#lines = lines;
    this.#peers = peers;
  }

  own(line: Line, pulled: Pulled): void {
    this.#pulls.set(line, pulled);
    const reasons = pulled.reasons.map((reason) => `; ${reason}`).join('');
    process.stderr.write(`${line.name}: ${seconds(pulled.tookMs)} s${reasons}\n`);
  }

  peer(line: Line, peer: Peer, outcome: PeerOutcome): void {
    this.#sent.set(line, (this.#sent.get(line) ?? new Map<Peer, PeerOutcome>()).set(peer, outcome));
    process.stderr.write(`${line.name}: ${peer.name} ${secondsOf(outcome)} s\n`);
  }

  patienceMs(line: Line): number {
    return limitsOf(line, PART_BYTES, { stalls: 2 }).tookMs * PATIENCE;
  }

  table(): string {
    const header = [
      ...['line', 'at best, s', 'Backhaul, s', 'of at most, s', 'sent again, MB', 'of at most, MB'],
      ...['stalled connections', 'agent, MiB'],
      ...this.#peers.flatMap(({ name }) => [`${name}, s`, 'sent again, MB']),
    ];
    const rule = header.map((_, column) => (column === 0 ? '---' : '---:'));
    const rows = this.#entries().map(([line, pulled, { bound, tookMs, lostBytes }]) => [
      ...[line.about, seconds(bound.tookMs), seconds(pulled.tookMs), seconds(tookMs)],
      ...[mega(pulled.resentBytes), mega(lostBytes)],
      ...[line.stalls === undefined ? '–' : String(pulled.stalls), mebi(pulled.agentPeakBytes)],
      ...this.#peers.flatMap((peer) => {
        const sent = this.#sent.get(line)?.get(peer);
        return sent === undefined ? ['–', '–'] : [secondsOf(sent), mega(sent.resentBytes)];
      }),
    ]);
    return [header, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  }

  complaints(): string[] {
    return this.#entries().flatMap(([line, pulled, limits]) =>
      [...judge(line, pulled, limits), ...this.#besidePeers(line, pulled)].map(
        (text) => `${line.name}: ${text}`,
      ),
    );
  }

  #entries(): Array<[Line, Pulled, Limits]> {
    return this.#lines.flatMap((line): Array<[Line, Pulled, Limits]> => {
      const pulled = this.#pulls.get(line);
      return pulled === undefined ? [] : [[line, pulled, limitsOf(line, PART_BYTES, pulled)]];
    });
  }

  *#besidePeers(line: Line, { tookMs }: Pulled): Generator<string> {
    // On such a link the owner's limit of parts in flight decides.
    if (line.connectionBytesPerSecond !== undefined) return;
    const hasFaults = line.resetEveryMs !== undefined || line.stalls !== undefined;
    for (const [{ name }, sent] of this.#sent.get(line) ?? []) {
      if (sent.tookMs !== null && tookMs > sent.tookMs * (hasFaults ? 1 : 1.05)) {
        yield `it took ${seconds(tookMs)} s, and ${name} ${secondsOf(sent)} s`;
      }
    }
  }
}

function* judge(line: Line, pulled: Pulled, { tookMs, lostBytes }: Limits): Generator<string> {
  const { record, resentBytes, agentPeakBytes } = pulled;
  if (record.status !== 'completed') yield `it ended as ${record.status}: ${record.message}`;
  if (record.sha256 !== pulled.sha256) yield 'the file arrived with other bytes';
  if (pulled.tookMs > tookMs) yield `it took ${seconds(pulled.tookMs)} s of at most ${seconds(tookMs)} s`;
  if (resentBytes > lostBytes)
    yield `${mega(resentBytes)} MB of at most ${mega(lostBytes)} MB were sent again`;
  if (line.stalls !== undefined && pulled.stalls === 0) yield 'no connection stalled';
  if (line.resetEveryMs !== undefined && pulled.resets === 0) yield 'no connection was reset';
  if (agentPeakBytes > MOST_RESIDENT_BYTES) yield `the agent took ${mebi(agentPeakBytes)} MiB of memory`;
}

function secondsOf({ tookMs }: PeerOutcome): string {
  return tookMs === null ? 'not completed' : seconds(tookMs);
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}

function mega(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}

function mebi(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(0);
}
