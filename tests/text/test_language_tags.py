"""Language tags: every way to write one language gives one code, and other strings give none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pivot_udfs.text.language_tags import language_of, usable_language

WRITTEN = {
    "en": ["en", "EN", "en-US", "en_GB", "eng", "eng_Latn", "ENG", " en "],
    "fr": ["fr", "fra", "fre", "fr-CA", "fr-ca-x-quebec"],
    "zh": ["zh", "zh-Hans", "zh-cmn", "zh-CHS", "zh_TW", "zho", "chi", "cmn", "cmn-Hans-CN"],
    "ja": ["ja", "jpn", "ja-JP", "jpn_Jpan"],
    "de": ["ger", "deu", "de-1996"],
    "he": ["iw", "heb"],
    "ar": ["arb_Arab", "ara"],
    "nb": ["nob"],
    "yue": ["yue", "yue-HK", "zh-yue", "zh_yue_Hant-HK"],
    "arz": ["arz", "ar-arz"],
    "ms": ["ms-zsm"],
    "mul": ["mul", "MUL"],
    "und": ["und"],
    "lb": ["i-lux", "I_LUX"],
    "hak": ["i-hak", "zh-hakka"],
    "xx": ["xx"],
}


# ISO 639-2 (both sets) and 639-3 codes of the languages in ISO 639-1, codes that went out of use, and single languages
# that are written for the macrolanguage.
TABLE = """
aar=aa abk=ab afr=af aka=ak alb=sq amh=am ara=ar arg=an arm=hy asm=as ava=av ave=ae aym=ay aze=az bak=ba bam=bm
baq=eu bel=be ben=bn bis=bi bod=bo bos=bs bre=br bul=bg bur=my cat=ca ces=cs cha=ch che=ce chi=zh chu=cu chv=cv
cor=kw cos=co cre=cr cym=cy cze=cs dan=da deu=de div=dv dut=nl dzo=dz ell=el eng=en epo=eo est=et eus=eu ewe=ee
fao=fo fas=fa fij=fj fin=fi fra=fr fre=fr fry=fy ful=ff geo=ka ger=de gla=gd gle=ga glg=gl glv=gv gre=el grn=gn
guj=gu hat=ht hau=ha hbs=sh heb=he her=hz hin=hi hmo=ho hrv=hr hun=hu hye=hy ibo=ig ice=is ido=io iii=ii iku=iu
ile=ie ina=ia ind=id ipk=ik isl=is ita=it jav=jv jpn=ja kal=kl kan=kn kas=ks kat=ka kau=kr kaz=kk khm=km kik=ki
kin=rw kir=ky kom=kv kon=kg kor=ko kua=kj kur=ku lao=lo lat=la lav=lv lim=li lin=ln lit=lt ltz=lb lub=lu lug=lg
mac=mk mah=mh mal=ml mao=mi mar=mr may=ms mkd=mk mlg=mg mlt=mt mon=mn mri=mi msa=ms mya=my nau=na nav=nv nbl=nr
nde=nd ndo=ng nep=ne nld=nl nno=nn nob=nb nor=no nya=ny oci=oc oji=oj ori=or orm=om oss=os pan=pa per=fa pli=pi
pol=pl por=pt pus=ps que=qu roh=rm ron=ro rum=ro run=rn rus=ru sag=sg san=sa sin=si slk=sk slo=sk slv=sl sme=se
smo=sm sna=sn snd=sd som=so sot=st spa=es sqi=sq srd=sc srp=sr ssw=ss sun=su swa=sw swe=sv tah=ty tam=ta tat=tt
tel=te tgk=tg tgl=tl tha=th tib=bo tir=ti ton=to tsn=tn tso=ts tuk=tk tur=tr twi=tw uig=ug ukr=uk urd=ur uzb=uz
ven=ve vie=vi vol=vo wel=cy wln=wa wol=wo xho=xh yid=yi yor=yo zha=za zho=zh zul=zu
in=id iw=he ji=yi jw=jv mo=ro
arb=ar azj=az cmn=zh ekk=et gaz=om khk=mn kmr=ku lvs=lv npi=ne ory=or pes=fa plt=mg swh=sw uzn=uz ydd=yi zsm=ms
"""


@pytest.mark.parametrize(("language", "tag"), [(language, tag) for language, tags in WRITTEN.items() for tag in tags])
def test_every_way_to_write_a_language(language: str, tag: str) -> None:
    assert language_of(tag) == language


NO_TAGS = [
    "",
    " ",
    "e",
    "english",
    "French",
    "en-",
    "-en",
    "en--US",
    "en US",
    "en,fr",
    "i",
    "i-zzz",
    "fr\n-CA",
    "日本語",
    "12",
]


@pytest.mark.parametrize("tag", [*NO_TAGS, "en-longsubtag", "en" + "-variant" * 5, "x-private", "\u212aok"])
def test_other_strings_are_no_tags(tag: str) -> None:
    assert language_of(tag) is None


@given(st.text(max_size=40))
def test_a_code_is_its_own_language(tag: str) -> None:
    language = language_of(tag)
    assert language is None or (len(language) in (2, 3) and language_of(language) == language)


MIN_NAN = ["zh-min-nan", "zh-nan", "zh_nan-Hant-TW", "zh_min_nan", "ZH-MIN-NAN", "nan-Hant", "nan_Latn"]


@pytest.mark.parametrize("tag", MIN_NAN)
def test_min_nan_is_no_mandarin(tag: str) -> None:
    assert language_of(tag) == usable_language(tag) == "nan"


@pytest.mark.parametrize(
    "tag",
    [
        "un",
        "jp",
        "cn",
        "gr",
        "cz",
        "xx",
        "xx-Latn",
        "und",
        "zxx",
        "MIS",
        "und-Latn",
        "nan",
        "NaN",
        " nan ",
        "",
        " ",
        "English",
        "a\0",
    ],
)
def test_labels_without_a_language_are_not_used(tag: str) -> None:
    assert usable_language(tag) is None
    assert usable_language([tag, "fra_Latn"]) == "fr"


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists))
def test_a_label_of_any_type_is_a_language_or_none(label: object) -> None:
    language = usable_language(label)
    assert language is None or language == usable_language(language)


def test_every_two_letter_code_of_iso_639_is_kept() -> None:
    codes = {pair.split("=")[1] for pair in TABLE.split()}
    assert {code for code in codes if language_of(code) != code} == set()


@pytest.mark.parametrize("pair", TABLE.split())
def test_codes_of_three_letters_give_the_code_of_two(pair: str) -> None:
    code, language = pair.split("=")
    written = [code, code.upper(), f"{code}_Latn", f"{code}-Latn-US-x-part"]
    assert [language_of(tag) for tag in written] == [language] * 4
