import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, type CollectionTag, type ScalarTag } from 'yaml';

/** Path of deploy/aws. */
export const awsFolder = join(import.meta.dirname, '../../../deploy/aws');

export type Parameters = Readonly<Record<string, string | number>>;

type Node = unknown;
type Properties = Readonly<Record<string, Node>>;

/** An intrinsic function in CloudFormation's short form. */
class Intrinsic {
  readonly name: string;
  readonly argument: Node;

  constructor(name: string, argument: Node) {
    this.name = name;
    this.argument = argument;
  }
}

const names = ['Ref', 'Sub', 'GetAtt', 'If', 'Not', 'Equals'] as const;

const tags = names.flatMap((name): (ScalarTag | CollectionTag)[] => [
  { tag: `!${name}`, resolve: (text: string) => new Intrinsic(name, text) },
  {
    tag: `!${name}`,
    collection: 'seq',
    resolve: (node) => new Intrinsic(name, (node as { toJSON(): Node }).toJSON()),
  },
]);

/** `AWS::NoValue` removes the property. */
const absent = Symbol('absent');

const pseudoParameters: Parameters = {
  'AWS::Partition': 'aws',
  'AWS::Region': 'eu-central-1',
  'AWS::URLSuffix': 'amazonaws.com',
};

export interface ResolvedTemplate {
  /** Properties of each resource for these parameters; references to others by name. */
  readonly resources: ReadonlyMap<string, Properties>;
  /** Type of each resource. */
  readonly types: ReadonlyMap<string, string>;
  /** Includes defaults. */
  readonly parameters: Parameters;
}

/** Resolves the template like CloudFormation; supports only the functions that it uses. */
export async function readTemplate(given: Parameters): Promise<ResolvedTemplate> {
  const text = await readFile(join(awsFolder, 'backhaul.yaml'), 'utf8');
  const template = parse(text, { customTags: tags }) as {
    Parameters: Record<string, { Default?: string | number }>;
    Conditions: Record<string, Node>;
    Resources: Record<string, { Type: string; Condition?: string; Properties: Properties }>;
  };
  const unknown = Object.keys(given).filter((name) => !(name in template.Parameters));
  if (unknown.length > 0) throw new RangeError(`the template has no parameter ${unknown.join(', ')}`);
  const defaults = Object.entries(template.Parameters).map(([name, { Default }]) => [name, Default] as const);
  const parameters = Object.fromEntries(
    [...defaults, ...Object.entries(given)].filter(
      (entry): entry is [string, string | number] => entry[1] !== undefined,
    ),
  );

  const holds = (condition: Node): boolean => resolve(template.Conditions[String(condition)]) === true;

  function resolve(node: Node): Node {
    if (node instanceof Intrinsic) return call(node);
    if (Array.isArray(node)) return node.map(resolve).filter((item) => item !== absent);
    if (typeof node !== 'object' || node === null) return node;
    const entries = Object.entries(node).map(([key, value]) => [key, resolve(value)] as const);
    return Object.fromEntries(entries.filter(([, value]) => value !== absent));
  }

  function call({ name, argument }: Intrinsic): Node {
    const list = Array.isArray(argument) ? argument : [argument];
    switch (name) {
      case 'Ref':
        return argument === 'AWS::NoValue' ? absent : reference(String(argument));
      case 'Sub':
        return String(argument).replaceAll(/\$\{([^}]+)\}/g, (_, of: string) => String(reference(of)));
      case 'If':
        return resolve(list[holds(list[0]) ? 1 : 2]);
      case 'Not':
        return resolve(list[0]) !== true;
      case 'Equals':
        return String(resolve(list[0])) === String(resolve(list[1]));
      default:
        return argument;
    }
  }

  function reference(name: string): Node {
    const value = parameters[name] ?? pseudoParameters[name];
    if (value === undefined && !(name in template.Resources)) throw new RangeError(`${name} is not given`);
    return value ?? name;
  }

  const made = Object.entries(template.Resources).filter(
    ([, { Condition }]) => Condition === undefined || holds(Condition),
  );
  return {
    resources: new Map(made.map(([name, { Properties }]) => [name, resolve(Properties) as Properties])),
    types: new Map(made.map(([name, { Type }]) => [name, Type])),
    parameters,
  };
}
