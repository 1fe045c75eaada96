"""Small spreadsheets, written by hand, so that no test needs a program that makes them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_HEAD = '<?xml version="1.0"?>'


def xlsx(sheets: Mapping[str, Sequence[Sequence[Any]]], days: int = -1, merged: Sequence[str] = ()) -> bytes:
    """A workbook.

    Args:
        sheets: rows of cells by name: texts, numbers, truths; None for no cell. The first is row 1 and column A.
        days: the column whose numbers are dates; none if negative.
        merged: cells of every sheet that are one, such as "A2:A4".
    """
    out = io.BytesIO()
    ranges = "".join(f'<mergeCell ref="{one}"/>' for one in merged)
    beside = f'<mergeCells count="{len(merged)}">{ranges}</mergeCells>' if merged else ""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
            f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        archive.writestr("_rels/.rels", _relations({"r1": ("officeDocument", "xl/workbook.xml")}))
        names = "".join(f'<sheet name={quoteattr(name)} sheetId="{n + 1}" r:id="s{n}"/>' for n, name in enumerate(sheets))
        archive.writestr(
            "xl/workbook.xml", f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{names}</sheets></workbook>'
        )
        parts = {f"s{n}": ("worksheet", f"worksheets/sheet{n}.xml") for n in range(len(sheets))}
        archive.writestr("xl/_rels/workbook.xml.rels", _relations(parts | {"st": ("styles", "styles.xml")}))
        formats = '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
        archive.writestr("xl/styles.xml", f'{_HEAD}<styleSheet xmlns="{_MAIN}">{formats}</styleSheet>')
        for n, rows in enumerate(sheets.values()):
            cells = "".join(
                f'<row r="{row}">{"".join(_cell(f"{chr(65 + at)}{row}", one, at == days) for at, one in enumerate(values))}</row>'
                for row, values in enumerate(rows, 1)
            )
            sheet = f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>{cells}</sheetData>{beside}</worksheet>'
            archive.writestr(f"xl/worksheets/sheet{n}.xml", sheet)
    return out.getvalue()


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    parts = (f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{to}"/>' for name, (kind, to) in targets.items())
    return f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{"".join(parts)}</Relationships>'


def _cell(place: str, value: Any, is_day: bool) -> str:  # noqa: FBT001
    match value:
        case None:
            return ""
        case bool():
            return f'<c r="{place}" t="b"><v>{value:d}</v></c>'
        case str():
            return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
        case _:
            return f'<c r="{place}"{" s=" + chr(34) + "1" + chr(34) if is_day else ""}><v>{value}</v></c>'
