"""Web pages become Markdown as a browser shows them, whatever their markup does."""

from collections.abc import Callable

import pytest
from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from search.errors import InvalidDocument
from search.reading import webpages
from search.reading.structure import sections
from search.reading.webpages import read, to_markdown


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ('<?xml version="1.0"?><html><head><title/><script src="a"/></head><p>Text <a id="b"/>here.</p></html>', "Text here."),
        ('\n<?xml version="1.0" encoding="windows-1251"?><html><body><p>Привет, как дела</p></body></html>', "Привет, как дела"),
    ],
)  # fmt: skip
def test_pages_in_xml_are_read_as_such(page: str, text: str) -> None:
    assert read(page.encode("cp1251")) == ("", f"{text}\n", {})  # nothing was guessed


XHTML = "http://www.w3.org/1999/xhtml"
DECLARED = (
    '<?xml version="1.0"?><!-- [ --><!DOCTYPE html PUBLIC "-//[" "x" [\n<!-- ]> <!ENTITY firm "No"> --> <!ENTITY firm "R&#38;D">'
    """<!ENTITY firm 'Second'><!ENTITY both '<b>&firm;</b>]>'><!ENTITY lt "no"><!ENTITY % set "x"><!ATTLIST p x CDATA #IMPLIED>"""
    '<?a ]> ?><!ENTITY far SYSTEM "far.ent">] ><p>'
)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>if <![CDATA[a < b && c > d <br/> &amp;]]>!</p>", "if a < b && c > d <br/> &amp;!"),
        ("<script>//<![CDATA[\nif (a<b) {}\n//]]></script><p>a<!-- <![CDATA[ -->b</p>", "ab"),
        ("<p>Never <![CDATA[closed <b>x</b></p>", "Never x"),
        ("<p>a <i title='x > y'/>b</p><br/><p/>c <img alt='a house > a hut'/>", "a b\n\nc a house > a hut"),
        (f"<h:p xmlns:h='{XHTML}'>One</h:p><h:div xmlns:h = \"{XHTML}\"><h:h1>Two</h:h1>a<h:br/>b</h:div>", "One\n\n# Two\n\na\nb"),
        (f"<q:p xmlns:h='{XHTML}' xmlns:q='http://other'>a</q:p><h:script/><h:p>b</h:p>", "a\n\nb"),
        ("<p xmlns:m='http://www.w3.org/1998/Math/MathML'><m:math><m:msup><m:mi>c</m:mi><m:mn>2</m:mn></m:msup></m:math>", "c^2"),
        (f"{DECLARED}At &firm; &lt; &both; &far;&nbsp;&set;&none;.</p>", "At R&D < &firm;]> &far;\xa0&set;&none;."),
    ],
)  # fmt: skip
def test_xml_means_what_it_means_in_xml(page: str, text: str) -> None:
    assert read(page.encode(), is_xml=True)[1] == f"{text}\n"


def test_entities_make_no_page_without_end() -> None:
    nested = "".join(f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 10))
    page = f"<!DOCTYPE html [<!ENTITY a0 '{'ha' * 5000}'>{nested}]><p>&a9;</p><p>{'&a0;' * 1000}</p>"
    text = read(page.encode(), is_xml=True)[1]
    assert text.startswith("&a8;" * 10 + "\n\nhaha")
    assert len(text) < 1_010_000


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("before", "piece", "after"),
    [
        ("<html>", "<![CDATA[", ""),
        ("<html>", "<!--", ""),
        ("<html>", "<a ", ""),
        ("<html>", "<a b='", ""),
        ("<html>", "<a '\"", ""),
        ("<html>", "<a:", ""),
        ("<html>", "&a", ""),
        ("<html>", "xmlns:a ", ""),
        ("<!DOCTYPE html [", "<!--", "]>"),
        ("<!DOCTYPE html [", "<?", ""),
        ("<!DOCTYPE html [", "'\"", ""),
        ("<!DOCTYPE html [", "<!ENTITY a 'b", "']>"),
        ("<!DOCTYPE html [", "<!ENTITY a 'b'>", "]>"),
        ("<!DOCTYPE html [", "] ", ""),
        ("", "<!---->", "<!DOCTYPE html []"),
        ("", "<!DOCTYPE '\"", "[]"),
        ("", " ", "<!DOCTYPE html []"),
        ("<math><msup>", "<mi>x</mi>", "</msup></math>"),
        ("<math>", "<msup>", "x"),
    ],
)  # fmt: skip
def test_long_pages_in_xml_take_as_long_as_others(before: str, piece: str, after: str) -> None:
    read(f"{before}{piece * 60_000}{after}".encode(), is_xml=True)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<body><p>Header part.</p></body><p>On volcanoes.</p>", "Header part.\n\nOn volcanoes.\n"),
        (
            "<html><body><p>Ferries.</p></body></html>\n<html><head><title>B</title></head><body><p>Volcanoes.",
            "Ferries.\n\nVolcanoes.\n",
        ),
        (
            "<body><h1>Pump</h1><p>40 litres a minute.</p><h2>Reviews</h2><article>Nice.</article>",
            "# Pump\n\n40 litres a minute.\n\n## Reviews\n\nNice.\n",
        ),
        ("<body><main></main><p>40 litres.</p>", "40 litres.\n"),
        ("<body><main>One.</main><main>Two.</main>", "One.\n\nTwo.\n"),
        ("<p>One.<p>Two." * 400, "One.\n\nTwo.\n\n" * 399 + "One.\n\nTwo.\n"),
        ("<div>" * 400 + "Deep." + "</div>" * 400, "Deep.\n"),
        ("<table><tr><th>Name<th>Size<tr><td>cat<td>small", "| Name | Size |\n| --- | --- |\n| cat | small |\n"),
        ("<nav>Menu</nav><p>Text<footer>Foot</footer>", "Text\n\nFoot\n"),
        ("<svg><title>Chart</title><text>3</text></svg><p>Text", "Text\n"),
        (
            "<p hidden>A</p><p style='display: none'>B</p><p aria-hidden=true>C</p><p>D</p><!-- E --><![if !x]>F<![endif]>",
            "D\n\nF\n",
        ),
        ("<h2>Install<a class=headerlink href='#install'>¶</a></h2><a href='#x'>Next</a>", "## Install\n\nNext\n"),
        ("<table><tr><td>10<sup>23</sup> <ruby>東<rt>to</rt></ruby><td>x</table>", "| 10^23 東(to) | x |\n| --- | --- |\n"),
        ("<table><tr><td><img src=a alt='A red house in Rome'><td>x</table>", "| A red house in Rome | x |\n| --- | --- |\n"),
        ("<table><tr><td>is <math><msup><mi>c</mi><mn>2</mn></msup></math></td></table>", "| is c^2 |\n| --- |\n"),
        ("So <math><mi>E</mi><mo>=</mo><msup><mi>c</mi><mn>2</mn></msup></math>.", "So E=c^2.\n"),
        ("<math><msub><mi>x</mi><mn>1</mn></msub><msubsup><mi>y</mi><mi>i</mi><mn>2</mn></msubsup></math>", "x_1y_i^2\n"),
        ("<math><mfrac> <mn>1</mn> <mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow> </mfrac></math>", "1/(a+b)\n"),
        ("<math><msup><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mrow><mn>3</mn></mrow></msup></math>", "(a+b)^3\n"),
        ("10<sup>23</sup>, 4<sup>th</sup>, H<sub>2</sub>O, note<sup><a href=#f>1</a></sup>", "10^23, 4th, H2O, note1\n"),
        ("Invoice<b> </b>number <i>4711</i>", "Invoice number 4711\n"),
        (
            "<select><option>one<option>two</select><label>Name</label><label>Age</label><address>Street</address>",
            "one\ntwo\nName\nAge\nStreet\n",
        ),
        ("<details><summary>More</summary>Text</details>", "More\nText\n"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul><ol><li>d<li><p>e</p><p>f</p></ol>", "- a\n  - b\n- c\n\n1. d\n2. e\n  f\n"),
        ("a<blockquote><p>b</p><p>c<br>d</p></blockquote>e", "a\n\n> b\n>\n> c\n> d\n\ne\n"),
        ("Call <code> f(x) </code>, <code>a`b</code>", "Call `f(x)` , `` a`b ``\n"),
        ("<pre>\n\n  a\n    b\n```\n\n</pre>", "````\n  a\n    b\n```\n````\n"),
        (
            "<table><caption>Sizes</caption><tr><td colspan=2>a|b<td>c<br>d</table>",
            "Sizes\n\n| a\\|b |  | c d |\n| --- | --- | --- |\n",
        ),
        ("<table><tr><td><h1>Left</h1>text<td>right</table>", "# Left\n\ntext\nright\n"),
        ("<img alt='A duck that holds a paper' src=x><img alt='build passing' src=y>.", "A duck that holds a paper .\n"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>字", "漢(kan)字\n"),
        ("<h1></h1><ul><li></ul><p>x", "x\n"),
        (
            "x<dl><dt>a(b)<dd><p>One.</p><dl><dt>m()<dd>More.<dt>n()<dt>o()<dd>Both.</dl><dt><dd>-<dt>z</dl><p>After.",
            "x\n\na(b)\nOne.\n\nm()\nMore.\n\nn()\no()\nBoth.\n\n-\n\nz\n\nAfter.\n",
        ),
        ("<dl><dt>a<dd>---</dl><ul><li>b<dl><dt>c<dd><p>d</dl></ul>", "a\n\n---\n\n- b\n  c\n  d\n"),
        (
            "<h2>A</h2><div class='note big'><div><h3>Note</h3></div><p>b</div><aside><h2>Tip</h2><p>It may be c, too.</aside>",
            "## A\n\nNote\n\nb\n\nTip\n\nIt may be c, too.\n",
        ),
        (
            "<div role=note><h3>A</h3></div><div class=notes><h3>B</h3>c</div><article class=note><h3>D</h3>e</article>",
            "A\n\n### B\n\nc\n\n### D\n\ne\n",
        ),
        ("", ""),
    ],
)  # fmt: skip
def test_it_says_what_a_browser_shows(page: str, text: str) -> None:
    assert to_markdown(page)[1] == text


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("<tr><td>a<td rowspan=3>b<td>c<tr><td>d<td>e<tr><td>f<td>g", "| a | b | c |\n| d | b | e |\n| f | b | g |\n"),
        ("<tr><td rowspan=2 colspan=2>a<td>b<tr><td>c<tr><td>d<td>e", "| a |  | b |\n| a |  | c |\n| d | e |  |\n"),
        ("<tr><td>a<td>b<td rowspan=3>c<tr><td>d<tr><td><td><tr><td>e<td>f<td>g", "| a | b | c |\n| d |  | c |\n| e | f | g |\n"),
        ("<tr><td>a<td rowspan=0>b<tr><td>c<tr><td>d<tbody><tr><td>e<td>f", "| a | b |\n| c | b |\n| d | b |\n| e | f |\n"),
        ("<tr><td rowspan=many>a<td rowspan=2>b<tr></tr><tr><td>c<td>d", "| a | b |\n| c | d |\n"),
    ],
)  # fmt: skip
def test_cells_of_several_rows_stand_in_each(rows: str, text: str) -> None:
    written = to_markdown(f"<table><tbody>{rows}</table>")[1].split("\n")
    assert "\n".join([written[0], *written[2:]]) == text


def test_what_a_reference_describes_at_length_is_headed_by_its_name_until_the_next_one() -> None:
    long = "It boils. " * 70
    page = (
        "<h1>Boilers</h1><dl class='py attribute'><dt class=sig>hot<dd>Short.</dl>"
        f"<dl class='py class'><dt class=sig>class Boiler(<em>water</em>)<dd>{long}"
        f"<dl class='py method'><dt>boil(how)<dd>{long}</dl><dl class='py attribute'><dt>heat<dd>Short.</dl></dl>"
        "<dl class='py function'><dt>cool()<dt>chill()<dd>Short.</dl><dl class=function><dt><dd>Nothing.</dl>"
        f"<h2>Others</h2><dl class='py data'><dt>NONE<dd>Short.</dl><dl><dt>a word<dd>{long}</dl>"
        f"<ul><li><dl class='py data'><dt>IN_A_LIST<dd>{long}</dl></ul>"
    )
    written = to_markdown(page)[1]
    assert [line for line in written.split("\n") if line.startswith("#")] == [
        "# Boilers",
        "##### class Boiler(water)",
        "###### boil(how)",
        "###### heat",
        "##### cool()",
        "##### chill()",
        "## Others",
    ]
    assert "hot\nShort.\n\n#" in written
    assert "###### heat\nShort.\n\n##### cool()\n##### chill()\nShort.\n\nNothing." in written


@pytest.mark.timeout(20)
def test_descriptions_within_descriptions_take_no_time() -> None:
    to_markdown("<dl class=class><dt>a<dd>" * 5_000)
    to_markdown("<dl class=class>" + "<dt>a" * 20_000)
    to_markdown("<dl class=class><dt>a<dd>b</dl>" * 20_000)


SHOP = "The frame is of carbon, the sail of nylon, and it may be flown from force three on."
WARNING = "Keep away from lines: they kill whoever touches one."
MENUS = (
    f"<footer><p>{SHOP}</footer><div class=site-footer>{SHOP}</div><div role=contentinfo>{SHOP}</div><form>{SHOP}</form>"
    f"<div id=cookie_consent><p>{SHOP}</div><aside class='left sidebar'><p>{SHOP}</aside><p hidden>{SHOP}</p>"
    "<ul><li><a href=a>How to fly a kite</a><li><a href=b>How to land it again safely</a> today</ul><div>Version 3</div>"
)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            "<h1>Kites</h1><p>An introduction.</p><main>They fly.</main><p>And more of it.</p>",
            "# Kites\n\nAn introduction.\n\nThey fly.\n\nAnd more of it.\n",
        ),
        (
            f"<header><a href=/>Home</a><h1>Kites</h1><p>By Bob, 2024</header><main>They fly.</main><aside>{WARNING}</aside>",
            f"# Kites\n\nBy Bob, 2024\n\nThey fly.\n\n{WARNING}\n",
        ),
        (
            f"<section><h2>Data</h2><p>{SHOP}</section><div><div><main>Buy it now.</main></div></div>",
            f"## Data\n\n{SHOP}\n\nBuy it now.\n",
        ),
        (f"{SHOP}<main>Buy it now.</main>", f"{SHOP}\n\nBuy it now.\n"),
        ("<header><h1><a href=/>Kites &amp; Co.</a></h1></header><main>They fly.</main>", "They fly.\n"),
        ("<h1>Kites &amp; Co.</h1><main><h1>Flying</h1>They fly.</main>", "# Flying\n\nThey fly.\n"),
        ("<div style='display:none'><main>They fly.</main></div>", "They fly.\n"),
        (f"<main>{'They fly. ' * 99}</main>{MENUS}", f"{'They fly. ' * 99}".strip() + "\n"),
        (f"<h1>Kites</h1><article>{SHOP}</article><p>Corrected in May.</p>", f"# Kites\n\n{SHOP}\n\nCorrected in May.\n"),
    ],
)
def test_content_beside_the_main_part_is_kept_and_no_menus(page: str, text: str) -> None:
    assert to_markdown(page)[1] == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (f"<header><div>Shop Help 7.4</div></header><div><h1>Kites</h1><p>{SHOP}</div><footer><h3>Debug</h3><p>A</footer>", ""),
        (
            f"<div><div class=sphinxsidebar><h3>Contents</h3><a href=a>A</a></div><div><h1>Kites</h1><p>{SHOP}</div></div>",
            "",
        ),
        (f"<aside class=left>Index <input></aside><h1>Kites</h1><p>{SHOP}</p><div role=contentinfo>(c) Acme</div>", ""),
        (f"<div class=page-footer><p>Legal, 2026</div><div role=banner><a href=/>Acme</a></div><h1>Kites</h1><p>{SHOP}", ""),
        (f"<header><h1>Kites</h1></header><p>{SHOP}</p><div class=breadcrumbs><a href=a>A</a> &gt; <a href=b>B</a></div>", ""),
        (f"<h1>Kites</h1><p>{SHOP}</p><div class=sidebar><p>{WARNING}</div>", f"\n{WARNING}\n"),
        (f"<h1>Kites</h1><p>{SHOP}</p><section id=cookies><h2>Cookies</h2><p>None.</section>", "\n## Cookies\n\nNone.\n"),
        (f"<div><h1>Kites</h1><p>{SHOP}</p><div class=footer>Of this part.</div></div>", "\nOf this part.\n"),
    ],
)
def test_what_stands_around_a_page_without_a_main_part_is_no_content(page: str, text: str) -> None:
    assert to_markdown(f"<body>{page}")[1] == f"# Kites\n\n{SHOP}\n{text}"


def test_the_title_is_that_of_the_head() -> None:
    assert to_markdown("<title> A\n page </title><svg><title>Chart</title></svg>")[0] == "A page"
    assert to_markdown("<body><svg><title>Chart</title></svg>")[0] == ""


@pytest.mark.parametrize(
    ("content", "text", "metadata"),
    [
        ("<meta charset=iso-8859-1>“€”".encode("cp1252"), "“€”\n", {}),
        ("<meta charset=utf-16>Größe".encode(), "Größe\n", {}),
        ("<meta charset=gb2312>深圳龍".encode("gb18030"), "深圳龍\n", {}),
        ("<meta http-equiv=content-type content='text/html; charset=shift_jis'>東京①".encode("cp932"), "東京①\n", {}),
        ("Größe".encode("utf-16"), "Größe\n", {"encoding": "utf-16"}),
        (b"<meta charset=utf-8>" + "Хорошая погода.".encode("cp1251"), "Хорошая погода.\n", {"encoding": "cp1251"}),
    ],
)  # fmt: skip
def test_encodings_are_those_of_the_web(content: bytes, text: str, metadata: dict[str, str]) -> None:
    assert read(content) == ("", text, metadata)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "page",
    [
        lambda: "<a " * 200_000,
        lambda: "<table><tr><td>" * 3_000 + "x",
        lambda: "<ul><li>x" * 3_000,
        lambda: "<blockquote>x" * 3_000,
        lambda: "<table>" + "<tr><td>" * 30_000 + "x",
        lambda: "<p>" + "1<sup>2</sup>" * 30_000,
        lambda: "<h1>" * 3_000 + "x",
        lambda: "<main>x x x</main>" + "<div><p>a" * 3_000,
        lambda: "<div><header>x</header>" * 3_000 + "x" * 10_000,
        lambda: "<header>x</header><aside>y</aside>" * 3_000 + "x" * 100_000,
        lambda: "<main>x</main>" + "<div>" * 3_000 + "<h1>" * 1_000,
        lambda: "<table><tr>" + "<td rowspan=2>" * 1_000 + "<tr><td>x" * 100,
        lambda: f"<table><tr><td rowspan=9999>{'x' * 1_000}<td>y" + "<tr><td>y" * 2_000,
    ],
)
def test_no_page_takes_long_or_grows_beyond_reason(page: Callable[[], str]) -> None:
    assert len(to_markdown(page())[1]) < 1_000_000


def test_tables_of_too_many_cells_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webpages, "_MOST_CELLS", 100)
    to_markdown("<table><tr>" + "<td colspan=50>x" * 2 + "</table>")
    with pytest.raises(InvalidDocument, match="its tables have more than 100 cells; split it"):
        to_markdown("<table><tr>" + "<td colspan=50>x" * 2 + "<td>y</table>")


def test_a_parser_without_memory_is_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(page: str) -> LexborHTMLParser:
        raise SelectolaxError(f"Can't parse {page}")

    monkeypatch.setattr("selectolax.lexbor.LexborHTMLParser", fails)
    with pytest.raises(MemoryError):
        to_markdown("<p>x")


@pytest.mark.parametrize(
    "page", ["<p><code>`</code></p>", "<p><code>```</code> starts a fence</p>", "<p>```</p>", "<p>~~~ x</p>", "<pre>```\n# x</pre>"]
)
def test_no_text_of_a_page_makes_code_of_the_rest(page: str) -> None:
    markdown = to_markdown(f"{page}<h1>Two</h1><p>text")[1]
    assert [section.headings for section in sections(markdown, "text/html")][-1] == ("Two",)


def test_a_body_that_waits_for_its_script_is_read() -> None:
    assert to_markdown("<body style='display:none' hidden><p>Text<p hidden=until-found>More<p hidden>Not")[1] == "Text\n\nMore\n"
