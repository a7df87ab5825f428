import { darwin } from './darwin.ts';
import { linux } from './linux.ts';
import { otherUnix } from './other-unix.ts';
import type { Platform } from './platform.ts';
import { win32 } from './win32.ts';

export function currentPlatform(name: NodeJS.Platform = process.platform): Platform {
  if (name === 'linux') return linux;
  if (name === 'darwin') return darwin;
  return name === 'win32' ? win32 : otherUnix;
}
