import { readFile } from 'node:fs/promises';

/** What a process of this machine has used so far, as Linux's procfs tells (proc_pid_status(5), proc_pid_stat(5)). */
export interface ProcessUsage {
  /** Resident now, bytes. */
  readonly rssBytes: number;
  /** Resident at most since its start, bytes. */
  readonly peakRssBytes: number;
  /** User and system time of all its threads, seconds; steps of 10 ms. */
  readonly cpuSeconds: number;
}

/** Linux's USER_HZ, which is 100 on every architecture that Node.js runs on. */
const TICKS_PER_SECOND = 100;

/** @throws Error if there is no such process, or no procfs. */
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

/** @returns Seconds of user and system time. */
export function parseStat(text: string): number {
  return secondsIn(text, 14);
}

/** @returns Seconds of user and system time of children that have ended and were waited for. */
export function parseChildrenSeconds(text: string): number {
  return secondsIn(text, 16);
}

/** @param field Of the user time, counted from 1; the system time is next to it. */
function secondsIn(text: string, field: number): number {
  // The name, in parentheses, may hold anything; what comes after it begins with the third field.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[field - 3]) + Number(fields[field - 2]);
  if (!Number.isFinite(ticks)) throw new Error(`/proc/PID/stat is not as expected: ${text}`);
  return ticks / TICKS_PER_SECOND;
}
