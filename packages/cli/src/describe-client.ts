import type { ClientSummary } from '@backhaul/protocol';

export function describePlatform(platform: ClientSummary['platform']): string {
  if (platform === null) return '–';
  const { os, arch, hostname } = platform;
  return hostname === null ? `${os}/${arch}` : `${os}/${arch} ${hostname}`;
}

export function describeLabels(labels: ClientSummary['labels']): string {
  const words = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return words.length === 0 ? '–' : words.join(' ');
}
