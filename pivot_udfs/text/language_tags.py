"""Language tags as shards write them, brought to one form: ISO 639-1 where the language has a code there.

What a tag says beyond the language (script, region, variant) is left out, since the corpus is counted by language.
"""

import re
from functools import lru_cache

MAX_TAG_CHARS = 35
"""Longer texts are no language tags."""

_TAG = re.compile(r"([a-zA-Z]{2,3})(?:[-_][a-zA-Z0-9]{1,8})*")

# ISO 639-2 (both its sets) and 639-3 of the languages in ISO 639-1.
_THREE_LETTERS = """
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
"""
# Codes that went out of use, and single languages that go by the name of the group they stand for.
_OTHERS = """
in=id iw=he ji=yi jw=jv mo=ro
arb=ar azj=az cmn=zh ekk=et gaz=om khk=mn kmr=ku lvs=lv npi=ne ory=or pes=fa plt=mg swh=sw uzn=uz ydd=yi zsm=ms
"""
_CODES = dict(pair.split("=") for pair in (_THREE_LETTERS + _OTHERS).split())


def language_of(tag: str) -> str | None:
    """The language that a tag names.

    Args:
        tag: a BCP 47 tag or the like, in any case, with ``-`` or ``_``: ``EN``, ``en-US``, ``eng_Latn``, ``cmn``.

    Returns:
        The ISO 639-1 code where there is one, else the tag's own first part in lower case (``yue``, ``mul``);
        None where it is no tag: longer than 35 characters, a name such as ``English``, or with other characters.
    """
    return _language_of(tag) if len(tag) <= MAX_TAG_CHARS else None


@lru_cache(maxsize=4_096)
def _language_of(tag: str) -> str | None:
    found = _TAG.fullmatch(tag.strip())
    if not found:
        return None
    language = found[1].lower()
    return _CODES.get(language, language)
