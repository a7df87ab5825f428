import { readFile } from 'node:fs/promises';

/** Resources used by a local process, from Linux's procfs (proc_pid_status(5), proc_pid_stat(5)). */
export interface ProcessUsage {
  /** Current resident memory in bytes. */
  readonly rssBytes: number;
  /** Peak resident memory since the start, in bytes. */
  readonly peakRssBytes: number;
  /** User and system time of all threads in seconds, with a resolution of 10 ms. */
  readonly cpuSeconds: number;
}

/** Linux's USER_HZ is 100 on every architecture that Node.js supports. */
const TICKS_PER_SECOND = 100;

/** @throws Error if the process or procfs does not exist. */
export async function processUsage(pid: number): Promise<ProcessUsage> {
  const [status, stat] = await Promise.all([
    readFile(`/proc/${pid}/status`, 'utf8'),
    readFile(`/proc/${pid}/stat`, 'utf8'),
  ]);
  return { ...parseStatus(status), cpuSeconds: parseStat(stat) };
}

export function parseStatus(text: string): Pick<ProcessUsage, 'rssBytes' | 'peakRssBytes'> {
  const bytes = (field: string): number => {
    const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    if (kibibytes === undefined) throw new Error(`/proc/PID/status has no ${field}`);
    return Number(kibibytes) * 1024;
  };
  return { rssBytes: bytes('VmRSS'), peakRssBytes: bytes('VmHWM') };
}

/** @returns User and system time in seconds. */
export function parseStat(text: string): number {
  return secondsIn(text, 14);
}

/** @returns User and system time, in seconds, of children that have ended and were waited for. */
export function parseChildrenSeconds(text: string): number {
  return secondsIn(text, 16);
}

/** @param field Field number of the user time, from 1; the system time is the next field. */
function secondsIn(text: string, field: number): number {
  // The name in parentheses may contain anything; the third field follows it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[field - 3]) + Number(fields[field - 2]);
  if (!Number.isFinite(ticks)) throw new Error(`/proc/PID/stat is not as expected: ${text}`);
  return ticks / TICKS_PER_SECOND;
}
