import type { AnyCommand, CommandGroup } from '../command.ts';
import { audit } from './audit.ts';
import { block, unblock } from './block.ts';
import { cancel } from './cancel.ts';
import { clients } from './clients.ts';
import { completion } from './completion.ts';
import { content } from './content.ts';
import { deleteUpload } from './delete.ts';
import { doctor } from './doctor.ts';
import { download } from './download.ts';
import { events } from './events.ts';
import { forget } from './forget.ts';
import { health } from './health.ts';
import { limits } from './limits.ts';
import { ls } from './ls.ts';
import { retry } from './retry.ts';
import { status } from './status.ts';
import { tokenAgent } from './token-agent.ts';
import { tokenOperator } from './token-operator.ts';
import { uploads } from './uploads.ts';
import { verify } from './verify.ts';

const token: CommandGroup = {
  name: 'token',
  summary: 'create tokens for agents and operators',
  commands: [tokenAgent, tokenOperator],
};

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
  audit,
  doctor,
  token,
  completion(() => commands),
];
