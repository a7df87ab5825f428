import type { ClientSummary, UploadLimits } from '@backhaul/protocol';

const KILO = 1000;
const byteUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** `104857600` → `104.9 MB`. */
export function readableBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // From 999.95 on, toFixed would print 1000.0 of the smaller unit.
  while (value >= 999.95 && unit < byteUnits.length - 1) {
    value /= KILO;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${byteUnits[unit]}`;
}

/** Always MB/s, so that the unit does not change while reading; kB/s below 1 MB/s. */
export function readableRate(bytesPerSecond: number): string {
  if (bytesPerSecond < KILO * KILO) return `${Math.round(bytesPerSecond / KILO)} kB/s`;
  const megabytes = bytesPerSecond / (KILO * KILO);
  return `${megabytes >= 100 ? megabytes.toFixed(0) : megabytes.toFixed(1)} MB/s`;
}

/** The two largest units: `350 ms`, `3.5 s`, `2 min 5 s`, `3 h 20 min`, `12 d 4 h`. */
export function readableDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return pair(seconds, [60, 'min'], [1, 's']);
  if (seconds < 86_400) return pair(Math.round(seconds / 60), [60, 'h'], [1, 'min']);
  return pair(Math.round(seconds / 3600), [24, 'd'], [1, 'h']);
}

/** Time since: `5 s ago`, `3 h ago`; `–` for null. */
export function readableAge(timestamp: string | null, now: number): string {
  if (timestamp === null) return '–';
  const seconds = Math.max(0, Math.round((now - Date.parse(timestamp)) / 1000));
  if (seconds < 1) return 'now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** Time until: `in 24 s`, `in 23 h 59 min`; `now` if the time has passed. */
export function readableUntil(timestamp: string, now: number): string {
  const seconds = Math.round((Date.parse(timestamp) - now) / 1000);
  if (seconds < 1) return 'now';
  return `in ${seconds < 60 ? `${seconds} s` : readableDuration(seconds * 1000)}`;
}

type Unit = readonly [size: number, name: string];

function pair(amount: number, [great, greatName]: Unit, [small, smallName]: Unit): string {
  const rest = Math.floor((amount % great) / small);
  const first = `${Math.floor(amount / great)} ${greatName}`;
  return rest === 0 ? first : `${first} ${rest} ${smallName}`;
}

/** Describes the limits of each upload; null if none is set. */
export function describeLimits(limits: UploadLimits | null | undefined): string | null {
  const { parallel_parts: parts, max_rate: rate } = limits ?? {};
  const set = [
    ...(parts === undefined ? [] : [parts === 1 ? 'one part at a time' : `at most ${parts} parts in flight`]),
    ...(rate === undefined ? [] : [`at most ${readableBytes(rate)}/s`]),
  ];
  return set.length === 0 ? null : set.join(', ');
}

export function describePlatform(platform: ClientSummary['platform']): string {
  if (platform === null) return '–';
  const { os, arch, hostname } = platform;
  return hostname === null ? `${os}/${arch}` : `${os}/${arch} ${hostname}`;
}

export function describeLabels(labels: ClientSummary['labels']): string {
  const words = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return words.length === 0 ? '–' : words.join(' ');
}

/** When the agent's token expires or expired, e.g. `in 12 d`. */
export function describeTokenEnd(
  { token_expires_at: end }: Pick<ClientSummary, 'token_expires_at'>,
  now: number,
): string {
  if (end == null) return '–';
  const leftMs = Date.parse(end) - now;
  return leftMs > 0 ? `in ${readableDuration(leftMs)}` : `expired ${readableDuration(-leftMs)} ago`;
}
