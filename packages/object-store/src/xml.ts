import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { S3Error } from './errors.ts';

type XmlValue = string | number | boolean | undefined | XmlElements | readonly XmlValue[];
/** Elements in output order; an array repeats its element, `undefined` omits it. */
export interface XmlElements {
  readonly [name: string]: XmlValue;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

/** Control characters are written as references, as S3 does: a raw CR would come back as LF. */
function escapeText(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters must be escaped
  return text.replaceAll(/[&<>"\u0000-\u001f\u007f]/g, (c) => ESCAPES[c] ?? `&#${c.charCodeAt(0)};`);
}

function renderElement(name: string, value: XmlValue): string {
  if (value === undefined) return '';
  if (Array.isArray(value)) return value.map((item: XmlValue) => renderElement(name, item)).join('');
  if (typeof value !== 'object') return `<${name}>${escapeText(String(value))}</${name}>`;
  const children = Object.entries(value as XmlElements).map(([child, inner]) => renderElement(child, inner));
  return `<${name}>${children.join('')}</${name}>`;
}

const PROLOGUE = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** Renders a document in S3's namespace. */
export function renderXml(root: string, content: XmlElements | string): string {
  const body = renderElement(root, content).slice(root.length + 2);
  return `${PROLOGUE}<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${body}`;
}

/** Renders an error document, which has no namespace. */
export function renderErrorXml(content: XmlElements): string {
  return PROLOGUE + renderElement('Error', content);
}

type ParsedXml = string | { [name: string]: ParsedXml } | ParsedXml[];

/** One element of a parsed document, with typed access to the expected children. */
export class XmlNode {
  readonly #value: ParsedXml;

  constructor(value: ParsedXml) {
    this.#value = value;
  }

  children(name: string): XmlNode[] {
    const value = this.#value;
    if (typeof value === 'string' || Array.isArray(value) || !Object.hasOwn(value, name)) return [];
    const child = value[name];
    if (child === undefined) return [];
    return (Array.isArray(child) ? child : [child]).map((item) => new XmlNode(item));
  }

  /** Returns the text of the only child with this name. @throws S3Error MalformedXML if it occurs twice or has elements. */
  text(name: string): string | undefined {
    const found = this.children(name);
    if (found.length > 1) throw new S3Error('MalformedXML');
    const [child] = found;
    const value = child === undefined ? undefined : child.#value;
    if (value !== undefined && typeof value !== 'string') throw new S3Error('MalformedXML');
    return value;
  }

  names(): string[] {
    return typeof this.#value === 'string' ? [] : Object.keys(this.#value).filter((name) => name !== '#text');
  }
}

const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false,
  removeNSPrefix: true,
  ignoreDeclaration: true,
  // Resolves numeric references, which SDKs use for control characters in keys.
  htmlEntities: true,
});

/** @throws S3Error MalformedXML, also for a document type: no request needs one, and entities could expand indefinitely. */
export function parseXml(text: string, root: string): XmlNode {
  if (/<!(?:DOCTYPE|ENTITY)/i.test(text) || XMLValidator.validate(text) !== true) {
    throw new S3Error('MalformedXML');
  }
  let document: XmlNode;
  try {
    document = new XmlNode(parser.parse(text) as ParsedXml);
  } catch {
    throw new S3Error('MalformedXML');
  }
  const [node, ...more] = document.children(root);
  if (node === undefined || more.length > 0 || document.names().length !== 1)
    throw new S3Error('MalformedXML');
  return node;
}
