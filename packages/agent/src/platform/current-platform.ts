import { darwin } from './darwin.ts';
import { linux } from './linux.ts';
import type { Platform } from './platform.ts';
import { win32 } from './win32.ts';

/** Other Unix systems get darwin's rules, which need nothing but POSIX. */
export function currentPlatform(name: NodeJS.Platform = process.platform): Platform {
  if (name === 'linux') return linux;
  if (name === 'win32') return win32;
  return darwin;
}
