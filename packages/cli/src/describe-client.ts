import type { ClientSummary } from '@backhaul/protocol';
import { readableDuration } from './readable.ts';

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

/** `blocked`, `connected` or `away`. */
export function describeState({ connected, blocked }: ClientSummary): 'blocked' | 'connected' | 'away' {
  if (blocked != null) return 'blocked';
  return connected ? 'connected' : 'away';
}
