import type { AnyCommand, CommandGroup } from '../command.ts';
import { audit } from './audit.ts';
import { block, clients, forget, limits, unblock } from './clients.ts';
import { completion } from './completion.ts';
import { content } from './content.ts';
import { doctor } from './doctor.ts';
import { download } from './download.ts';
import { du } from './du.ts';
import { events } from './events.ts';
import { health } from './health.ts';
import { ls } from './ls.ts';
import { status } from './status.ts';
import { token } from './token.ts';
import { cancel, deleteUpload, retry, uploads } from './uploads.ts';
import { verify } from './verify.ts';

/** All commands, in the order in which the help lists them. */
export const commands: readonly (AnyCommand | CommandGroup)[] = [
  download,
  content,
  verify,
  status,
  uploads,
  clients,
  cancel,
  retry,
  deleteUpload,
  forget,
  block,
  unblock,
  limits,
  events,
  health,
  ls,
  du,
  audit,
  doctor,
  token,
  completion(() => commands),
];
