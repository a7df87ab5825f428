import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Hello } from '@backhaul/protocol';

/** Of this program, and never changed: what is made with it must stay the same. */
const APPLICATION_ID = '6f1d2c0a-7b0e-4a57-9d0c-5d2f6a3be8c1';
const ID = /^[0-9a-f-]{32,36}$/;

/**
 * Tells this machine from another with the same token. The machine's own id is confidential (machine-id(5)) and must not
 * leave it, so that what is sent is keyed to this program, as sd_id128_get_machine_app_specific(3) does it. Linux only:
 * other systems have no id of a boot in a file.
 */
export function hostIds(
  read: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): Hello['host'] {
  try {
    const machine = read('/etc/machine-id').trim();
    const boot = read('/proc/sys/kernel/random/boot_id').trim();
    return ID.test(machine) && ID.test(boot) ? { machine: hashOf(machine), boot: hashOf(boot) } : undefined;
  } catch {
    return undefined;
  }
}

/** Both ids are secrets of 128 random bits, and the key of the hash. */
function hashOf(id: string): string {
  return createHmac('sha256', id).update(APPLICATION_ID).digest('hex').slice(0, 32);
}
