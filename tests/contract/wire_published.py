"""Test vectors as their RFCs print them, in hex. make_vectors.py checks them and writes them out."""

from __future__ import annotations

_C = "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
_D = "d7828d13b2b0bdc325a76236df93cc6b"
_A8 = "0001020304050607"
_A12 = "000102030405060708090a0b"
_P23 = "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
_P19 = "0c0d0e0f101112131415161718191a1b1c1d1e"

# RFC 3610 section 8, packet vectors 1 to 24: key, nonce, associated data, text, sealed, tag bytes (M).
CCM = [
    (
        _C,
        "00000003020100a0a1a2a3a4a5",
        _A8,
        _P23,
        "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0",
        8,
    ),
    (
        _C,
        "00000004030201a0a1a2a3a4a5",
        _A8,
        _P23 + "1f",
        "72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3ba091d56e10400916",
        8,
    ),
    (
        _C,
        "00000005040302a0a1a2a3a4a5",
        _A8,
        _P23 + "1f20",
        "51b1e5f44a197d1da46b0f8e2d282ae871e838bb64da8596574adaa76fbd9fb0c5",
        8,
    ),
    (
        _C,
        "00000006050403a0a1a2a3a4a5",
        _A12,
        _P19,
        "a28c6865939a9a79faaa5c4c2a9d4a91cdac8c96c861b9c9e61ef1",
        8,
    ),
    (
        _C,
        "00000007060504a0a1a2a3a4a5",
        _A12,
        _P19 + "1f",
        "dcf1fb7b5d9e23fb9d4e131253658ad86ebdca3e51e83f077d9c2d93",
        8,
    ),
    (
        _C,
        "00000008070605a0a1a2a3a4a5",
        _A12,
        _P19 + "1f20",
        "6fc1b011f006568b5171a42d953d469b2570a4bd87405a0443ac91cb94",
        8,
    ),
    (
        _C,
        "00000009080706a0a1a2a3a4a5",
        _A8,
        _P23,
        "0135d1b2c95f41d5d1d4fec185d166b8094e999dfed96c048c56602c97acbb7490",
        10,
    ),
    (
        _C,
        "0000000a090807a0a1a2a3a4a5",
        _A8,
        _P23 + "1f",
        "7b75399ac0831dd2f0bbd75879a2fd8f6cae6b6cd9b7db24c17b4433f434963f34b4",
        10,
    ),
    (
        _C,
        "0000000b0a0908a0a1a2a3a4a5",
        _A8,
        _P23 + "1f20",
        "82531a60cc24945a4b8279181ab5c84df21ce7f9b73f42e197ea9c07e56b5eb17e5f4e",
        10,
    ),
    (
        _C,
        "0000000c0b0a09a0a1a2a3a4a5",
        _A12,
        _P19,
        "07342594157785152b074098330abb141b947b566aa9406b4d999988dd",
        10,
    ),
    (
        _C,
        "0000000d0c0b0aa0a1a2a3a4a5",
        _A12,
        _P19 + "1f",
        "676bb20380b0e301e8ab79590a396da78b834934f53aa2e9107a8b6c022c",
        10,
    ),
    (
        _C,
        "0000000e0d0c0ba0a1a2a3a4a5",
        _A12,
        _P19 + "1f20",
        "c0ffa0d6f05bdb67f24d43a4338d2aa4bed7b20e43cd1aa31662e7ad65d6db",
        10,
    ),
    (
        _D,
        "00412b4ea9cdbe3c9696766cfa",
        "0be1a88bace018b1",
        "08e8cf97d820ea258460e96ad9cf5289054d895ceac47c",
        "4cb97f86a2a4689a877947ab8091ef5386a6ffbdd080f8e78cf7cb0cddd7b3",
        8,
    ),
    (
        _D,
        "0033568ef7b2633c9696766cfa",
        "63018f76dc8a1bcb",
        "9020ea6f91bdd85afa0039ba4baff9bfb79c7028949cd0ec",
        "4ccb1e7ca981befaa0726c55d378061298c85c92814abc33c52ee81d7d77c08a",
        8,
    ),
    (
        _D,
        "00103fe41336713c9696766cfa",
        "aa6cfa36cae86b40",
        "b916e0eacc1c00d7dcec68ec0b3bbb1a02de8a2d1aa346132e",
        "b1d23a2220ddc0ac900d9aa03c61fcf4a559a4417767089708a776796edb723506",
        8,
    ),
    (
        _D,
        "00764c63b8058e3c9696766cfa",
        "d0d0735c531e1becf049c244",
        "12daac5630efa5396f770ce1a66b21f7b2101c",
        "14d253c3967b70609b7cbb7c499160283245269a6f49975bcadeaf",
        8,
    ),
    (
        _D,
        "00f8b678094e3b3c9696766cfa",
        "77b60f011c03e1525899bcae",
        "e88b6a46c78d63e52eb8c546efb5de6f75e9cc0d",
        "5545ff1a085ee2efbf52b2e04bee1e2336c73e3f762c0c7744fe7e3c",
        8,
    ),
    (
        _D,
        "00d560912d3f703c9696766cfa",
        "cd9044d2b71fdb8120ea60c0",
        "6435acbafb11a82e2f071d7ca4a5ebd93a803ba87f",
        "009769ecabdf48625594c59251e6035722675e04c847099e5ae0704551",
        8,
    ),
    (
        _D,
        "0042fff8f1951c3c9696766cfa",
        "d85bc7e69f944fb8",
        "8a19b950bcf71a018e5e6701c91787659809d67dbedd18",
        "bc218daa947427b6db386a99ac1aef23ade0b52939cb6a637cf9bec2408897c6ba",
        10,
    ),
    (
        _D,
        "00920f40e56cdc3c9696766cfa",
        "74a0ebc9069f5b37",
        "1761433c37c5a35fc1f39f406302eb907c6163be38c98437",
        "5810e6fd25874022e80361a478e3e9cf484ab04f447efff6f0a477cc2fc9bf548944",
        10,
    ),
    (
        _D,
        "0027ca0c7120bc3c9696766cfa",
        "44a3aa3aae6475ca",
        "a434a8e58500c6e41530538862d686ea9e81301b5ae4226bfa",
        "f2beed7bc5098e83feb5b31608f8e29c38819a89c8e776f1544d4151a4ed3a8b87b9ce",
        10,
    ),
    (
        _D,
        "005b8ccbcd9af83c9696766cfa",
        "ec46bb63b02520c33c49fd70",
        "b96b49e21d621741632875db7f6c9243d2d7c2",
        "31d750a09da3ed7fddd49a2032aabf17ec8ebf7d22c8088c666be5c197",
        10,
    ),
    (
        _D,
        "003ebe94044b9a3c9696766cfa",
        "47a65ac78b3d594227e85e71",
        "e2fcfbb880442c731bf95167c8ffd7895e337076",
        "e882f1dbd38ce3eda7c23f04dd65071eb41342acdf7e00dccec7ae52987d",
        10,
    ),
    (
        _D,
        "008d493b30ae8b3c9696766cfa",
        "6e37a6ef546d955d34ab6059",
        "abf21c0b02feb88f856df4a37381bce3cc128517d4",
        "f32905b88a641b04b9c9ffb58cc390900f3da12ab16dce9e82efa16da62059",
        10,
    ),
]


def _run(first: int, last: int) -> str:
    return bytes(range(first, last + 1)).hex()


# RFC 5869 appendix A.1 to A.3: input key, salt, info, length, output key.
HKDF = [
    (
        "0b" * 22,
        _run(0x00, 0x0C),
        _run(0xF0, 0xF9),
        42,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        _run(0x00, 0x4F),
        _run(0x60, 0xAF),
        _run(0xB0, 0xFF),
        82,
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22,
        "",
        "",
        42,
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]
